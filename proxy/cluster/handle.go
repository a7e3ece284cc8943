package cluster

import "sync/atomic"

// Handle is the stable reference to a cluster by its name: routes hold handles,
// so that a cluster's change touches no route.
type Handle struct {
	name    string
	current atomic.Pointer[Cluster]
}

// NewHandle makes a handle of a cluster that does not exist yet.
func NewHandle(name string) *Handle { return &Handle{name: name} }

// Name is the cluster's name.
func (h *Handle) Name() string { return h.name }

// Load is the cluster, nil while there is none of that name.
func (h *Handle) Load() *Cluster { return h.current.Load() }

// Store replaces the cluster; nil removes it. It returns the one before.
func (h *Handle) Store(c *Cluster) *Cluster { return h.current.Swap(c) }
