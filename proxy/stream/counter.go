package stream

import "sync/atomic"

// Counter counts for the statistics. A nil counter is one that nobody reads.
type Counter struct{ n atomic.Int64 }

// Count adds one.
func (c *Counter) Count() {
	if c != nil {
		c.n.Add(1)
	}
}

// Value is what has been counted.
func (c *Counter) Value() int64 { return c.n.Load() }
