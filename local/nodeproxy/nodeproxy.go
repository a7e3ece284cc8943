// Package nodeproxy makes Services reachable on one machine: what kube-proxy does
// in a cluster's kernel, it does by listening on every Service's addresses and
// carrying connections to a ready endpoint. It also lends pods without a sidecar
// an HTTP and SOCKS5 proxy, so that they reach Services by name.
package nodeproxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what the proxy works with.
type Config struct {
	// LowPorts is added to ports below 1024 of pod and Service addresses when
	// they cannot be bound; 0 leaves them as they are.
	LowPorts uint16
	// Mixed is the address of the proxy for pods without a sidecar; the zero
	// value offers none.
	Mixed netip.AddrPort
	// Resolve finds a name for the pod at the given address: its namespace is
	// where short names belong.
	Resolve func(ctx context.Context, from netip.Addr, name string) (netip.Addr, error)
	Log     *slog.Logger
}

// Port is one port of a Service: where it listens and where connections go.
type Port struct {
	// Name tells ports apart: "namespace/service:port".
	Name string
	// Listen are the addresses, each of which may fail to be bound.
	Listen []netip.AddrPort
	// Endpoints are the ready ones.
	Endpoints []netip.AddrPort
}

// Proxy carries connections.
type Proxy struct {
	cfg Config

	mu sync.Mutex
	// open are the sockets by address; guarded by mu.
	open map[netip.AddrPort]*open
	// shut is true after Run has ended; guarded by mu.
	shut      bool
	accepting sync.WaitGroup
}

// open is one socket, and the port that it serves now.
type open struct {
	net.Listener
	port atomic.Pointer[Port]
	next atomic.Uint64
}

// New makes a proxy that listens nowhere yet.
func New(cfg Config) *Proxy {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Proxy{cfg: cfg, open: map[netip.AddrPort]*open{}}
}

// Set replaces the ports. Connections go on; new ones go to the new endpoints.
func (p *Proxy) Set(ports []Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return
	}
	wanted := map[netip.AddrPort]bool{}
	for i := range ports {
		for _, address := range ports[i].Listen {
			address = p.shift(address)
			wanted[address] = true
			o := p.open[address]
			if o == nil {
				l, err := net.Listen("tcp", address.String())
				if err != nil {
					p.cfg.Log.Debug("service address not bound", "service", ports[i].Name, "address", address, "error", err)
					continue
				}
				o = &open{Listener: l}
				p.open[address] = o
				o.port.Store(&ports[i]) // before the first connection
				// Ends when the socket is closed; Run waits for it.
				p.accepting.Go(func() { p.accept(o) })
			}
			o.port.Store(&ports[i])
		}
	}
	for address, o := range p.open {
		if !wanted[address] {
			o.Close()
			delete(p.open, address)
		}
	}
}

// shift moves a port that may not be bound. Addresses outside of the instance's
// own network (127.0.0.1) stay as they are.
func (p *Proxy) shift(a netip.AddrPort) netip.AddrPort {
	if p.cfg.LowPorts == 0 || a.Port() >= 1024 || a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), a.Port()+p.cfg.LowPorts)
}

// Bound reports whether the proxy listens on an address.
func (p *Proxy) Bound(a netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[p.shift(a)] != nil
}

// Run offers the proxy for pods without a sidecar until ctx ends, then closes
// everything.
func (p *Proxy) Run(ctx context.Context) error {
	err := p.runMixed(ctx)
	p.mu.Lock()
	p.shut = true
	for address, o := range p.open {
		o.Close()
		delete(p.open, address)
	}
	p.mu.Unlock()
	p.accepting.Wait()
	return err
}

func (p *Proxy) accept(o *open) {
	for {
		conn, err := o.Accept()
		if err != nil {
			return
		}
		// Ends with either side.
		go p.serve(conn, o)
	}
}

// serve tries endpoints in turn: one that is just going away refuses.
func (p *Proxy) serve(conn net.Conn, o *open) {
	defer conn.Close()
	eps := o.port.Load().Endpoints
	first := o.next.Add(1)
	for i := range eps {
		up, err := p.dial(context.Background(), eps[(first+uint64(i))%uint64(len(eps))])
		if err == nil {
			join(conn, up)
			return
		}
	}
}

func (p *Proxy) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	return d.DialContext(ctx, "tcp", p.shift(to).String())
}

// join carries bytes both ways until both directions have ended.
func join(a, b net.Conn) {
	var back sync.WaitGroup
	back.Go(func() { half(a, b) })
	half(b, a)
	back.Wait()
	b.Close()
}

func half(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if t, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = t.CloseWrite()
		return
	}
	dst.Close()
	src.Close()
}
