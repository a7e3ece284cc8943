package stream

import (
	"sync/atomic"
	"time"
)

// Arrival is when the last byte of a request was read: the zero Arrival is of one that
// has not come whole. Any goroutine may look.
type Arrival struct{ at atomic.Int64 } // in Unix nanoseconds

// Note notes the time. A nil arrival notes nothing.
func (a *Arrival) Note(now time.Time) {
	if a != nil {
		a.at.Store(now.UnixNano())
	}
}

// Reset forgets it for the next request.
func (a *Arrival) Reset() { a.at.Store(0) }

// Whole reports whether the request has come whole.
func (a *Arrival) Whole() bool { return a.at.Load() != 0 }

// At is the time, zero while the request is not whole.
func (a *Arrival) At() time.Time {
	at := a.at.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}
