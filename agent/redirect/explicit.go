// Package redirect brings a workload's traffic to its proxy.
//
// It stands before the journey of a request. This is the explicit way, which
// works anywhere and without privileges: the pod has an address of its own, on
// which the agent listens in the application's place, and the application
// reaches others through a port that speaks SOCKS5 and HTTP. A connection is
// handed to the proxy as if the kernel had redirected it: with the listener
// that it would have come to and the destination that it wanted.
package redirect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The ports of Istio's listeners.
const (
	OutboundPort = 15001
	InboundPort  = 15006
	ProxyPort    = 15080
)

// The listeners to which connections are handed, by their addresses in the
// proxy's configuration.
var (
	inboundListener  = netip.AddrPortFrom(netip.IPv4Unspecified(), InboundPort)
	outboundListener = netip.AddrPortFrom(netip.IPv4Unspecified(), OutboundPort)
	proxyListener    = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ProxyPort)
)

// Explicit is the explicit redirect of one pod.
type Explicit struct {
	// Pod is the pod's own address.
	Pod netip.Addr
	// Apps maps the pod's ports to the private ports of 127.0.0.1 on which the
	// application really listens.
	Apps map[uint16]uint16
	// LowPorts is added to ports below 1024 of pods and services where those
	// cannot be bound; 0 is as they are.
	LowPorts uint16
	// Proxy opens the port for SOCKS5 and HTTP; a gateway has none.
	Proxy bool
	// Resolve gives the addresses of a name.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Handover gives a connection to the proxy: to the listener of an address,
	// with the destination that the client wanted. It returns when the
	// connection has ended.
	Handover func(conn net.Conn, listener, original netip.AddrPort)
	Log      *slog.Logger
}

// ParsePorts reads LATEEN_APP_PORTS: "9080=20001,9090=20002".
func ParsePorts(text string) (map[uint16]uint16, error) {
	out := map[uint16]uint16{}
	for _, pair := range strings.Split(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		pod, app, _ := strings.Cut(pair, "=")
		p, err1 := strconv.ParseUint(pod, 10, 16)
		a, err2 := strconv.ParseUint(app, 10, 16)
		if err1 != nil || err2 != nil || p == 0 || a == 0 {
			return nil, fmt.Errorf("application ports %q: %q is not PODPORT=PRIVATEPORT", text, pair)
		}
		out[uint16(p)] = uint16(a)
	}
	return out, nil
}

// Bind says where the proxy binds a listener's address, and whether it does:
// the redirect's own ports are not bound, and what would be bound to every
// address or to loopback is bound to the pod's.
func (x *Explicit) Bind(a netip.AddrPort) (netip.AddrPort, bool) {
	switch a.Port() {
	case OutboundPort, InboundPort, ProxyPort:
		return a, false
	}
	addr := a.Addr()
	if addr.IsUnspecified() || addr.IsLoopback() && addr == proxyListener.Addr() || addr == netip.IPv6Loopback() {
		addr = x.Pod
	}
	return netip.AddrPortFrom(addr, x.shifted(addr, a.Port())), true
}

// Target is the address that is really dialled for one that the proxy chose:
// the application's private port for a port of its own pod.
func (x *Explicit) Target(a netip.AddrPort) netip.AddrPort {
	own := a.Addr() == x.Pod || a.Addr() == proxyListener.Addr()
	if private, ok := x.Apps[a.Port()]; ok && own {
		return netip.AddrPortFrom(proxyListener.Addr(), private)
	}
	return netip.AddrPortFrom(a.Addr(), x.shifted(a.Addr(), a.Port()))
}

// shifted is a low port of a pod or service where those cannot be bound. Such
// addresses are loopback's, 127.64 and above; others are as they are.
func (x *Explicit) shifted(a netip.Addr, port uint16) uint16 {
	if x.LowPorts == 0 || port >= 1024 || !a.Is4() {
		return port
	}
	if b := a.As4(); b[0] != 127 || b[1] < 64 {
		return port
	}
	return x.LowPorts + port
}

// Run listens until ctx ends, and then closes what it listened on. Connections
// that were handed over go on.
func (x *Explicit) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close()
		}
	}()
	listen := func(port uint16, serve func(net.Conn)) error {
		at := netip.AddrPortFrom(x.Pod, x.shifted(x.Pod, port))
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return fmt.Errorf("listen in the application's place: %w", err)
		}
		open = append(open, l)
		running.Go(func() { x.accept(l, serve) })
		return nil
	}
	for port := range x.Apps {
		original := netip.AddrPortFrom(x.Pod, port)
		if err := listen(port, func(c net.Conn) { x.Handover(c, inboundListener, original) }); err != nil {
			return err
		}
	}
	if x.Proxy {
		if err := listen(ProxyPort, func(c net.Conn) { x.mixed(ctx, c) }); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// accept serves each connection of l until l is closed.
func (x *Explicit) accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			x.Log.Warn("connection not accepted", "at", l.Addr(), "error", err)
			time.Sleep(10 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		go serve(c) // ends with its connection; the proxy drains those
	}
}
