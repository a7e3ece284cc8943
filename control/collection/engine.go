// Package collection is the incremental engine of the control plane: values
// that are functions of other values, kept up to date by recomputing only what
// a change can reach.
//
// There are two kinds of values. A [Table] holds inputs, written by whoever
// watches the world. A [Func] is a function from a key to a value; it is pure
// and memoized. While a function runs, every input and every other function's
// value that it reads is recorded, also the absence of an input. A write marks
// what has read it, directly or through others, as doubtful; a later read
// first checks whether the values below have really changed, and stops there
// if they have not. Nothing invalidates a cache by hand.
//
// The engine is transactional: writes and reads happen inside [Engine.Do],
// one at a time, so that all that is derived there comes from one state of the
// world.
package collection

import "sync"

// Engine owns the cells of tables and functions.
type Engine struct {
	mu      sync.Mutex
	epoch   uint64 // guarded by mu; counts writes, from 1
	current *cell  // guarded by mu; the function that runs, nil outside

	// Runs counts how often functions ran, for tests of what a change costs.
	Runs uint64 // guarded by mu
}

// Do runs one transaction: f may write tables, and then read functions. It
// returns the epoch after it, which moves only when something was written.
func (e *Engine) Do(f func()) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch = max(e.epoch, 1)
	f()
	return e.epoch
}

// cell is one value: an input's, an index bucket's, or a function's for one key.
type cell struct {
	changed  uint64 // epoch in which the value became what it is
	verified uint64 // epoch in which it was last known to be right; 0 is never
	doubtful bool   // something below was written since
	compute  func() (changed bool)

	below map[*cell]bool // what the value was made from, in the last run
	above map[*cell]bool // what was made from it
}

// read records that the running function depends on c, and brings c up to date.
func (e *Engine) read(c *cell) {
	if e.current != nil && e.current != c {
		e.current.below[c] = true
		if c.above == nil {
			c.above = map[*cell]bool{}
		}
		c.above[e.current] = true
	}
	e.refresh(c)
}

// refresh makes a function's value right: if something below has changed since
// it was made, it is made again.
func (e *Engine) refresh(c *cell) {
	if c.compute == nil || !c.doubtful && c.verified > 0 {
		return
	}
	stale := c.verified == 0
	for below := range c.below {
		if stale {
			break
		}
		e.refresh(below)
		stale = below.changed > c.verified
	}
	if stale {
		e.run(c)
	}
	c.verified, c.doubtful = e.epoch, false
}

// run computes a function anew and records what it reads.
func (e *Engine) run(c *cell) {
	for below := range c.below {
		delete(below.above, c)
	}
	c.below = map[*cell]bool{}
	outer := e.current
	e.current = c
	first := c.verified == 0
	changed := c.compute()
	e.current = outer
	e.Runs++
	if changed || first {
		c.changed = e.epoch
	}
}

// touch notes that an input has changed.
func (e *Engine) touch(c *cell) {
	e.epoch++
	c.changed = e.epoch
	doubt(c)
}

// doubt marks everything above as doubtful.
func doubt(c *cell) {
	for above := range c.above {
		if !above.doubtful {
			above.doubtful = true
			doubt(above)
		}
	}
}
