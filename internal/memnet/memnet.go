// Package memnet is a network in memory for tests under testing/synctest:
// connections are buffered as TCP's are, can be half-closed, obey deadlines, and
// block only in ways that let mesh time pass.
package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Net is a network. Its addresses mean nothing outside of it.
type Net struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*listener // guarded by mu
	lost      map[netip.AddrPort]bool      // guarded by mu: dials there hang
	nextPort  uint16                       // guarded by mu
}

// New makes an empty network.
func New() *Net {
	return &Net{listeners: map[netip.AddrPort]*listener{}, lost: map[netip.AddrPort]bool{}, nextPort: 40000}
}

// Listen accepts connections at address ("10.0.0.1:80").
func (n *Net) Listen(address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, at: at, queue: make(chan *Conn, 128), done: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// Lose makes dials to address hang until their context ends.
func (n *Net) Lose(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost[netip.MustParseAddrPort(address)] = true
}

// Dial connects to a listener. Without one the connection is refused at once.
// source is the local address, made up when it is nil.
func (n *Net) Dial(ctx context.Context, _, address string, source net.Addr) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	n.mu.Lock()
	l, lost := n.listeners[to], n.lost[to]
	n.nextPort++
	from := netip.AddrPortFrom(netip.MustParseAddr("10.255.0.1"), n.nextPort)
	n.mu.Unlock()
	if s, ok := source.(*net.TCPAddr); ok && s != nil {
		ip, _ := netip.AddrFromSlice(s.IP)
		from = netip.AddrPortFrom(ip.Unmap(), from.Port())
	}
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	if lost {
		<-ctx.Done()
		return nil, fail(ctx.Err())
	}
	if l == nil {
		return nil, fail(syscall.ECONNREFUSED)
	}
	near, far := Pipe(from, to)
	select {
	case l.queue <- far:
		return near, nil
	case <-l.done:
		return nil, fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
}

// listener is one that a Net knows.
type listener struct {
	net    *Net
	at     netip.AddrPort
	queue  chan *Conn
	done   chan struct{}
	closed sync.Once
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.closed.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.at)
		l.net.mu.Unlock()
		close(l.done)
	})
	return nil
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }
