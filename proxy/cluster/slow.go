package cluster

import (
	"math"
	"time"

	"github.com/lateenmesh/lateen/proxy/runtime"
)

// SlowStart gives endpoints that are new, or healthy again, less than their share
// at first.
type SlowStart struct {
	Window time.Duration
	// Aggression above 1 lets the share grow faster in the beginning; 1 when zero.
	Aggression runtime.Number
	// Least is the share to begin with; Envoy's default is 0.1.
	Least float64
}

// share is the part of its weight that a host has now.
func (s *SlowStart) share(h *Host, now time.Time) float64 {
	age := max(time.Millisecond, now.Sub(time.Unix(0, h.since.Load()))) // as in Envoy: nobody has no share
	if age >= s.Window {
		return 1
	}
	aggression := s.Aggression.Now()
	if aggression == 0 {
		aggression = 1
	}
	return max(s.Least, math.Pow(float64(age)/float64(s.Window), 1/aggression))
}

// begin notes that a host takes up its work now.
func (c *Cluster) begin(h *Host, now time.Time) {
	h.since.Store(now.UnixNano())
	if c.SlowStart != nil {
		c.slowUntil.Store(now.Add(c.SlowStart.Window).UnixNano())
	}
}

// slowing reports whether some host may still be in its window.
func (c *Cluster) slowing(now time.Time) bool {
	return c.SlowStart != nil && c.slowUntil.Load() > now.UnixNano()
}
