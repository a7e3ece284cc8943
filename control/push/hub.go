package push

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// Hub hands each connected proxy the snapshots of its class. Its methods may be
// called from any goroutine, but for Publish, which the graph's owner calls
// after each commit.
type Hub struct {
	stage  *Stage
	submit func(func(*collection.Tx))

	mu     sync.Mutex
	feeds  map[string]map[*feed]struct{} // by proxy key; guarded by mu
	closed chan struct{}
	once   sync.Once
}

var _ mesh.Publisher = (*Hub)(nil)

// NewHub makes a hub; submit brings an edit into one of the next commits.
func NewHub(s *Stage, submit func(func(*collection.Tx))) *Hub {
	return &Hub{stage: s, submit: submit, feeds: map[string]map[*feed]struct{}{}, closed: make(chan struct{})}
}

// errClosed is for proxies that come while the control plane ends.
var errClosed = errors.New("the control plane is shutting down")

// Attach implements [mesh.Publisher].
func (h *Hub) Attach(p mesh.Proxy) (mesh.Feed, error) {
	f := &feed{hub: h, key: fmt.Sprintf("%s %s", p.ID, keyOf(p)), changed: make(chan struct{}, 1), ready: make(chan struct{})}
	h.mu.Lock()
	if h.feeds[f.key] == nil {
		h.feeds[f.key] = map[*feed]struct{}{}
	}
	h.feeds[f.key][f] = struct{}{}
	h.mu.Unlock()
	h.submit(func(tx *collection.Tx) { h.stage.Proxies.Set(tx, f.key, p) })
	select {
	case <-f.ready:
		return f, nil
	case <-h.closed:
		f.Close()
		return nil, fmt.Errorf("attach %s: %w", p.ID, errClosed)
	}
}

// Publish hands out what the last commit changed.
func (h *Hub) Publish(epoch uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, list := range h.feeds {
		class, ok := h.stage.Classes.Get(key)
		if !ok {
			continue // its edit waits for the next commit
		}
		snap, ok := h.stage.Snapshots.Get(class.Key())
		if !ok {
			continue
		}
		for f := range list {
			f.offer(snap, epoch)
		}
	}
}

// Close lets nobody wait any more.
func (h *Hub) Close() { h.once.Do(func() { close(h.closed) }) }

// feed implements [mesh.Feed].
type feed struct {
	hub     *Hub
	key     string
	last    *mesh.Snapshot // what the stage gave last; only Publish uses it
	now     atomic.Pointer[mesh.Snapshot]
	changed chan struct{}
	ready   chan struct{}
	once    sync.Once
	gone    sync.Once
}

func (f *feed) offer(snap *mesh.Snapshot, epoch uint64) {
	if f.last == snap {
		return
	}
	f.last = snap
	f.now.Store(&mesh.Snapshot{Epoch: epoch, Tables: snap.Tables})
	f.once.Do(func() { close(f.ready) })
	select {
	case f.changed <- struct{}{}:
	default: // the last news is not read yet: it covers this one
	}
}

func (f *feed) Snapshot() *mesh.Snapshot { return f.now.Load() }
func (f *feed) Changed() <-chan struct{} { return f.changed }

func (f *feed) Close() {
	f.gone.Do(func() {
		h := f.hub
		h.mu.Lock()
		delete(h.feeds[f.key], f)
		last := len(h.feeds[f.key]) == 0
		if last {
			delete(h.feeds, f.key)
		}
		h.mu.Unlock()
		if !last {
			return
		}
		h.submit(func(tx *collection.Tx) {
			// Another stream of the same proxy may have come meanwhile.
			h.mu.Lock()
			back := len(h.feeds[f.key]) > 0
			h.mu.Unlock()
			if !back {
				h.stage.Proxies.Delete(tx, f.key)
			}
		})
	})
}
