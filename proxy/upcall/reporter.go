package upcall

import (
	"fmt"
	"sync"
	"time"
)

// Reporter sends what is told about requests to a collector, in batches. No
// request waits for the collector.
type Reporter[T any] struct {
	// Send hands a batch to the collector.
	Send func([]T) error
	// Failed is told why a batch was lost; may be nil.
	Failed func(error)
	// Every is how long something waits for more, 1 s when zero. A batch is sent
	// before that when it weighs Most (200 when zero), by Weigh: each weighs 1 when
	// it is nil.
	Every time.Duration
	Most  int
	Weigh func(T) int

	mu      sync.Mutex
	waiting []T         // guarded by mu
	weight  int         // guarded by mu: of waiting
	lost    int         // guarded by mu: since it was last told
	timer   *time.Timer // guarded by mu; nil while nothing waits
	sending bool        // guarded by mu
}

const (
	batchSize  = 200
	batchTime  = time.Second
	mostQueued = 5000 // while the collector takes its time
)

// Add queues something.
func (r *Reporter[T]) Add(each T) {
	weight, most, every := 1, r.Most, r.Every
	if r.Weigh != nil {
		weight = r.Weigh(each)
	}
	if most == 0 {
		most = batchSize
	}
	if every == 0 {
		every = batchTime
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= mostQueued {
		r.lost++
		return
	}
	r.waiting = append(r.waiting, each)
	light := r.weight < most
	r.weight += weight
	if r.timer == nil {
		r.timer = time.AfterFunc(every, r.flush)
	}
	if light && r.weight >= most && !r.sending {
		r.timer.Reset(0)
	}
}

// flush sends what waits, batch by batch. It is called by the timer.
func (r *Reporter[T]) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sending {
		return
	}
	r.sending = true
	for len(r.waiting) > 0 {
		batch := r.waiting[:min(len(r.waiting), batchSize)]
		r.waiting = r.waiting[len(batch):]
		lost := r.lost
		r.lost = 0
		r.mu.Unlock()
		err := r.Send(batch)
		if r.Failed != nil {
			if err != nil {
				r.Failed(err)
			}
			if lost > 0 {
				r.Failed(fmt.Errorf("%d did not fit in the queue: the collector takes its time", lost))
			}
		}
		r.mu.Lock()
	}
	r.waiting, r.weight, r.timer, r.sending = nil, 0, nil, false
}
