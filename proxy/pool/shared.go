package pool

import (
	"slices"
	"time"
)

// Carrier speaks a protocol that carries several requests at once on one
// connection, as HTTP/2 does.
type Carrier interface {
	// Reserve takes a place for one request and reports whether there was one.
	Reserve() bool
	// Release gives back a place that was not used.
	Release()
	// Usable reports whether requests may still be begun, now or when a place is
	// free.
	Usable() bool
	// Shut ends the connection when its last request is over.
	Shut()
	// Run reads and writes until the connection has ended.
	Run()
}

// Place gives a connection on which a place for the request has been reserved,
// nil when there is none. Connections are filled in the order in which they were
// opened, so that those that are not needed become idle.
func (p *Pool) Place(req TLSRequest) *Conn {
	k := p.keyOf(&req)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.shared {
		if c.key == k && c.Codec.(Carrier).Reserve() {
			return c
		}
	}
	return nil
}

// Carry puts a connection that was opened for sharing into use: with a place
// reserved for the caller, and for everybody with the same wishes.
func (p *Pool) Carry(c *Conn, carrier Carrier) {
	c.Codec = carrier
	carrier.Reserve()
	p.mu.Lock()
	outdated := p.outdated(c)
	if !outdated {
		p.shared = append(p.shared, c)
	}
	p.mu.Unlock()
	p.carrying.Go(func() { // ends with the connection: Shut asks for that
		carrier.Run()
		p.Changed(c)
		p.Close(c)
	})
	if outdated {
		carrier.Shut()
	}
}

// Changed is told by a carrier that a place has come free, or that there will be
// no more.
func (p *Pool) Changed(c *Conn) {
	usable := c.Codec.(Carrier).Usable()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !usable {
		p.shared = slices.DeleteFunc(p.shared, func(o *Conn) bool { return o == c })
	}
	p.turnOver()
}

// turnOver lets those who wait for a change look again. The caller holds mu.
func (p *Pool) turnOver() {
	if p.turn != nil {
		close(p.turn)
		p.turn = nil
	}
}

// opening is a connection for sharing that somebody opens.
type opening struct {
	done chan struct{}
	err  error // set before done is closed
}

// Join is called when there was no place. When somebody is opening a connection
// for the same wishes, it waits for the outcome, which is the caller's too;
// otherwise it reports that the caller is to open one, and to tell with Opened.
// late is true when the deadline, unless it is zero, came first.
func (p *Pool) Join(req TLSRequest, deadline time.Time) (lead, late bool, err error) {
	k := p.keyOf(&req)
	p.mu.Lock()
	o := p.opening[k]
	if o == nil {
		if p.opening == nil {
			p.opening = map[key]*opening{}
		}
		p.opening[k] = &opening{done: make(chan struct{})}
		p.mu.Unlock()
		return true, false, nil
	}
	p.mu.Unlock()
	if !wait(o.done, deadline, nil) {
		return false, true, nil
	}
	return false, false, o.err
}

// Opened tells those who have joined how it went.
func (p *Pool) Opened(req TLSRequest, err error) {
	k := p.keyOf(&req)
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.opening[k]
	delete(p.opening, k)
	o.err = err
	close(o.done)
}

// Alone reports whether the last handshake that could have chosen a protocol for
// sharing has not.
func (p *Pool) Alone() bool { return p.alone.Load() }

// SetAlone notes what a handshake has chosen.
func (p *Pool) SetAlone(alone bool) {
	if p.alone.Load() != alone {
		p.alone.Store(alone)
	}
}

// Turn is closed when a place may have come free. It is asked for before Place,
// so that no change is missed.
func (p *Pool) Turn() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn == nil {
		p.turn = make(chan struct{})
	}
	return p.turn
}

// Await waits for a turn. It reports false when the deadline, unless it is zero, or
// something from gone came first.
func (p *Pool) Await(turn <-chan struct{}, deadline time.Time, gone <-chan struct{}) bool {
	return wait(turn, deadline, gone)
}

func wait(done <-chan struct{}, deadline time.Time, gone <-chan struct{}) bool {
	late, stop := at(deadline)
	defer stop()
	select {
	case <-done:
		return true
	case <-late:
	case <-gone:
	}
	return false
}

// at tells when a deadline has come: never when it is zero.
func at(deadline time.Time) (late <-chan time.Time, stop func() bool) {
	if deadline.IsZero() {
		return nil, func() bool { return false }
	}
	t := time.NewTimer(time.Until(deadline))
	return t.C, t.Stop
}
