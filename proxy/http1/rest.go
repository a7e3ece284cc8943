package http1

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// rest is a connection's wait for its next request where timeouts are squeezed:
// somebody else may have it look at them anew.
type rest struct {
	conn net.Conn

	mu             sync.Mutex
	waiting, woken bool // guarded by mu
}

func (r *rest) begin() {
	r.mu.Lock()
	r.waiting = true
	r.mu.Unlock()
}

// end ends the wait, and reports whether it has been woken: then the connection's read
// deadline is in the past.
func (r *rest) end() (woken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	woken = r.woken
	r.waiting, r.woken = false, false
	return woken
}

// wake makes a read that waits return.
func (r *rest) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting {
		r.woken = true
		_ = r.conn.SetReadDeadline(time.Unix(1, 0)) // one that is closed already is fine
	}
}

// patience is how long the connection waits for a request that has not begun at now;
// 0 or less is for ever, unless it is over.
func (c *serving) patience(now time.Time) (d time.Duration, over bool) {
	d = c.cfg.Squeezes.Idle.Of(c.cfg.IdleTimeout)
	if c.cfg.Squeezes.Age != nil && c.cfg.MaxDuration > 0 {
		left := c.cfg.Squeezes.Age.Of(c.cfg.MaxDuration) - now.Sub(c.facts.Start)
		if left <= 0 {
			return 0, true
		}
		if d <= 0 || left < d {
			d = left
		}
	}
	return d, false
}

// awaitByte waits for the first byte of a request since then. The read deadline has been
// set.
func (c *serving) awaitByte(since time.Time) error {
	if c.rest == nil {
		return c.in.fill()
	}
	for {
		c.rest.begin()
		err := c.in.fill()
		woken := c.rest.end()
		now := time.Now()
		switch {
		case err == nil && woken:
			c.setReadDeadline(time.Time{})
			return nil
		case err == nil, !errors.Is(err, os.ErrDeadlineExceeded), c.facts.Parking.Ended():
			return err
		}
		d, over := c.patience(since)
		switch left := d - now.Sub(since); {
		case over, d > 0 && left <= 0:
			return err
		case d > 0:
			c.setReadDeadline(now.Add(left))
		default:
			c.setReadDeadline(time.Time{})
		}
		// Who ends it says so before it moves the deadline, which has just been moved again.
		if c.facts.Parking.Ended() {
			return err
		}
	}
}
