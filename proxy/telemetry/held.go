package telemetry

import (
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// held are things by their names. They are there as long as somebody has them: a listener
// that may count, or a connection of it.
type held[T any] struct {
	mu  sync.Mutex
	all map[string]weak.Pointer[T] // guarded by mu
}

// get gives what somebody has of a name, else makes one.
func (h *held[T]) get(name string, fresh func() *T) *T {
	h.mu.Lock()
	defer h.mu.Unlock()
	if found := h.all[name].Value(); found != nil {
		return found
	}
	if h.all == nil {
		h.all = map[string]weak.Pointer[T]{}
	}
	made := fresh()
	h.all[name] = weak.Make(made)
	runtime.AddCleanup(made, h.forget, name)
	return made
}

// forget forgets a name that nobody has, unless it has been made anew meanwhile.
func (h *held[T]) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all[name].Value() == nil {
		delete(h.all, name)
	}
}

// size is how many names are kept.
func (h *held[T]) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// each gives what somebody has, in the order of the names.
func (h *held[T]) each() iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		h.mu.Lock()
		all := maps.Clone(h.all)
		h.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if found := all[name].Value(); found != nil && !yield(name, found) {
				return
			}
		}
	}
}
