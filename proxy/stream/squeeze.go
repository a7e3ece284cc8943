package stream

import (
	"sync/atomic"
	"time"
)

// Squeeze makes timeouts of a kind shorter under pressure: from what is configured
// down to a minimum, as the pressure grows. nil leaves them as they are.
type Squeeze struct {
	// Least is the minimum or, where it is 0, Part its share of the whole.
	Least time.Duration
	Part  float64

	pressure atomic.Uint32 // millionths; 0 is none
}

// Press sets the pressure, in millionths.
func (s *Squeeze) Press(millionths uint32) { s.pressure.Store(millionths) }

// Of is what is left of a timeout. One that is never over, 0 or less, stays so.
func (s *Squeeze) Of(full time.Duration) time.Duration {
	if s == nil || full <= 0 {
		return full
	}
	pressure := s.pressure.Load()
	if pressure == 0 {
		return full
	}
	least := s.Least
	if least == 0 {
		least = time.Duration(s.Part * float64(full))
	}
	if least >= full {
		return full
	}
	return max(1, full-time.Duration(float64(full-least)*float64(pressure)/1_000_000))
}

// Squeezes are those of a connection's own timeouts: without a request, of a request
// on which nothing moves, and of its age.
type Squeezes struct{ Idle, Stream, Age *Squeeze }

// Any reports whether there is one.
func (s Squeezes) Any() bool { return s.Idle != nil || s.Stream != nil || s.Age != nil }
