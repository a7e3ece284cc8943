package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much a direction buffers, as a socket does.
const window = 64 << 10

// Conn is one end of a connection.
type Conn struct {
	local, remote netip.AddrPort
	in, out       *half
	once          sync.Once
}

// Pipe is both ends of a connection between a and b.
func Pipe(a, b netip.AddrPort) (*Conn, *Conn) {
	there, back := newHalf(), newHalf()
	return &Conn{local: a, remote: b, in: back, out: there}, &Conn{local: b, remote: a, in: there, out: back}
}

// half is one direction.
type half struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  []byte // guarded by mu
	// ended: the writer has said that no more comes. gone: the reader has closed.
	ended, gone, reset bool // guarded by mu
	read, write        deadline
}

// deadline of one side, guarded by its half's mu.
type deadline struct {
	timer *time.Timer
	over  bool
	// set counts changes, so that a timer of before does nothing.
	set int
}

func newHalf() *half {
	h := &half{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *half) setDeadline(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.set++
	if d.over = false; !t.IsZero() {
		if wait := time.Until(t); wait <= 0 {
			d.over = true
		} else {
			set := d.set
			d.timer = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				if d.set == set {
					d.over = true
					h.cond.Broadcast()
				}
			})
		}
	}
	h.cond.Broadcast()
}

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case h.read.over:
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.reset:
			return 0, syscall.ECONNRESET
		case h.ended:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (int, error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for len(p) > 0 {
		switch {
		case h.ended:
			return written, net.ErrClosed
		case h.write.over:
			return written, os.ErrDeadlineExceeded
		case h.gone:
			return written, syscall.EPIPE
		}
		if room := window - len(h.buf); room > 0 {
			n := min(room, len(p))
			h.buf = append(h.buf, p[:n]...)
			p, written = p[n:], written+n
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
	return written, nil
}

// CloseWrite ends our direction.
func (c *Conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.ended = true
	c.out.cond.Broadcast()
	return nil
}

// Close implements [net.Conn]. With data unread the peer sees a reset, as with
// TCP.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.in.mu.Lock()
		unread := len(c.in.buf) > 0
		c.in.gone = true
		c.in.cond.Broadcast()
		c.in.mu.Unlock()
		c.SetDeadline(time.Time{})
		c.out.mu.Lock()
		c.out.ended, c.out.reset = true, c.out.reset || unread
		c.out.cond.Broadcast()
		c.out.mu.Unlock()
	})
	return nil
}

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.read, t)
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.write, t)
	return nil
}

// Ended reports whether the peer has closed, or will send no more.
func (c *Conn) Ended() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.in.ended || c.out.gone
}

var _ net.Conn = (*Conn)(nil)
