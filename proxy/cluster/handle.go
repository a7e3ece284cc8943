package cluster

import (
	"sync"
	"sync/atomic"
)

// Handle is the stable reference to a cluster by its name: routes hold handles,
// so that a cluster's change touches no route.
type Handle struct {
	name    string
	current atomic.Pointer[Cluster]

	mu      sync.Mutex
	decided chan struct{} // guarded by mu; nil while nobody waits
}

// NewHandle makes a handle of a cluster that does not exist yet.
func NewHandle(name string) *Handle { return &Handle{name: name} }

// Name is the cluster's name.
func (h *Handle) Name() string { return h.name }

// Load is the cluster, nil while there is none of that name.
func (h *Handle) Load() *Cluster { return h.current.Load() }

// Store replaces the cluster; nil removes it. It returns the one before.
func (h *Handle) Store(c *Cluster) *Cluster {
	old := h.current.Swap(c)
	if c != nil {
		h.Decide()
	}
	return old
}

// Decided is closed when the cluster is there, or when it is known that it will not
// come.
func (h *Handle) Decided() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.decided == nil {
		h.decided = make(chan struct{})
	}
	decided := h.decided
	if h.Load() != nil {
		close(decided)
		h.decided = nil
	}
	return decided
}

// Decide lets whoever waits for the cluster go on.
func (h *Handle) Decide() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.decided != nil {
		close(h.decided)
		h.decided = nil
	}
}
