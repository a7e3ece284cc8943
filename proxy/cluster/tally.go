package cluster

import "sync/atomic"

// Tally counts by what is seen: statuses, outcomes of filters. It is made for few
// different ones, and costs nothing before the first.
type Tally[K comparable] struct{ list atomic.Pointer[[]*tallied[K]] }

type tallied[K comparable] struct {
	what K
	n    atomic.Int64
}

// Count counts one.
func (t *Tally[K]) Count(what K) {
	for {
		old := t.list.Load()
		var have []*tallied[K]
		if old != nil {
			have = *old
		}
		for _, each := range have {
			if each.what == what {
				each.n.Add(1)
				return
			}
		}
		next := append(have[:len(have):len(have)], &tallied[K]{what: what})
		t.list.CompareAndSwap(old, &next)
	}
}

// Each calls f with each that has been counted.
func (t *Tally[K]) Each(f func(what K, n int64)) {
	if list := t.list.Load(); list != nil {
		for _, each := range *list {
			f(each.what, each.n.Load())
		}
	}
}
