package cluster

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// turns lets hosts take turns by weights that change: the one that is due first is
// taken, and is due again the sooner the more it weighs by then.
type turns struct {
	mu   sync.Mutex
	heap []turn // guarded by mu; made by the first pick
	made uint64 // guarded by mu: turns given so far, which order those that are due at once
}

type turn struct {
	due   float64
	order uint64
	host  *Host
}

func (a turn) before(b turn) bool { return a.due < b.due || a.due == b.due && a.order < b.order }

// take gives the host whose turn it is.
func (t *turns) take(hosts []*Host, weight func(*Host) float64) *Host {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heap == nil {
		t.heap = make([]turn, len(hosts))
		for i, h := range hosts {
			t.made++
			t.heap[i] = turn{1 / weight(h), t.made, h}
		}
		for i := len(t.heap)/2 - 1; i >= 0; i-- {
			t.down(i)
		}
		// Not every proxy starts with the same host.
		for range rand.IntN(len(hosts)) {
			t.pass(weight)
		}
	}
	return t.pass(weight)
}

// pass gives the first host and queues it again.
func (t *turns) pass(weight func(*Host) float64) *Host {
	first := &t.heap[0]
	h := first.host
	t.made++
	first.due, first.order = first.due+1/weight(h), t.made
	t.down(0)
	return h
}

func (t *turns) down(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(t.heap) && t.heap[child].before(t.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.heap[i], t.heap[least] = t.heap[least], t.heap[i]
		i = least
	}
}

// slowWeight is a host's weight, less while it is new.
func (c *Cluster) slowWeight(h *Host) float64 {
	w := float64(h.weight())
	if c.SlowStart != nil {
		w *= c.SlowStart.share(h, time.Now())
	}
	return w
}

// leastRequestWeight is less the busier the host is.
func (c *Cluster) leastRequestWeight(h *Host) float64 {
	busy := float64(h.Active.Load() + 1)
	if c.Bias != nil {
		busy = math.Pow(busy, c.Bias.Now()) // to the power of 1 at once
	}
	return c.slowWeight(h) / busy
}
