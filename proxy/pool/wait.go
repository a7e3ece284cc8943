package pool

import (
	"slices"
	"time"
)

// waiter is a request that waits for a connection to come back.
type waiter struct {
	key key
	got chan *Conn // holds one; nil in it says: look again
}

// Wait gives the next connection that comes back and fits the request. It gives
// nil and true when the caller should look again, because a connection has
// ended, or there was none to wait for; and false when the deadline, unless it
// is zero, or something from gone came first.
func (p *Pool) Wait(req TLSRequest, deadline time.Time, gone <-chan struct{}) (*Conn, bool) {
	w := &waiter{p.keyOf(&req), make(chan *Conn, 1)}
	p.mu.Lock()
	if p.open.Load() == 0 {
		p.mu.Unlock()
		return nil, true
	}
	if len(p.idle) > 0 {
		// One came back just now; if it does not fit, it makes room for another.
		old := p.idle[0]
		fits := slices.ContainsFunc(p.idle, func(c *Conn) bool { return c.key == w.key })
		if !fits {
			p.idle = slices.Delete(p.idle, 0, 1)
		}
		p.mu.Unlock()
		if !fits {
			p.Close(old)
		}
		return nil, true
	}
	p.waiters = append(p.waiters, w)
	p.mu.Unlock()
	late, stop := at(deadline)
	defer stop()
	select {
	case c := <-w.got:
		return c, true
	case <-late:
	case <-gone:
	}
	p.mu.Lock()
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == w })
	p.mu.Unlock()
	select {
	case c := <-w.got: // it came at the same moment
		if c != nil {
			p.Put(c)
			break
		}
		p.mu.Lock()
		p.wakeOne()
		p.mu.Unlock()
	default:
	}
	return nil, false
}

// handOver gives c to the request that has waited longest. One that it does not
// fit looks again. The caller holds mu.
func (p *Pool) handOver(c *Conn) bool {
	w := p.waiters[0]
	p.waiters = slices.Delete(p.waiters, 0, 1)
	if w.key != c.key {
		w.got <- nil
		return false
	}
	c.Fresh = false
	w.got <- c
	return true
}

// wakeOne lets a waiting request look again. The caller holds mu.
func (p *Pool) wakeOne() {
	if len(p.waiters) > 0 {
		p.waiters[0].got <- nil
		p.waiters = slices.Delete(p.waiters, 0, 1)
	}
}

// sweepEvery is how often idle connections are looked at when nobody uses them,
// so that those that the endpoint has closed do not stay half-open.
const sweepEvery = 10 * time.Second

// armSweep makes sure that somebody looks after the idle connections. The
// caller holds mu.
func (p *Pool) armSweep() {
	if p.sweeping {
		return
	}
	p.sweeping = true
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(sweepEvery, p.sweep)
	} else {
		p.sweeper.Reset(sweepEvery)
	}
}

// sweep closes idle connections that have served their time or have ended.
func (p *Pool) sweep() {
	now := time.Now()
	var old []*Conn
	p.mu.Lock()
	p.idle = slices.DeleteFunc(p.idle, func(c *Conn) bool {
		if p.worn(c, now.Sub(c.idle), now) || !alive(c.Conn) {
			old = append(old, c)
			return true
		}
		return false
	})
	if p.sweeping = len(p.idle) > 0 && !p.closed; p.sweeping {
		p.sweeper.Reset(sweepEvery)
	}
	p.mu.Unlock()
	for _, c := range old {
		p.Close(c)
	}
}
