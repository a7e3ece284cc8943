package pool

import (
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Proxied is the transport of connections that begin with a PROXY header, which
// tells the endpoint whom a connection is for. What follows it is TLS, or plain
// text when TLS is nil.
type Proxied struct {
	Version byte // 1 or 2
	TLS     TLS
}

// Config implements [TLS].
func (p *Proxied) Config(r TLSRequest) (*tls.Config, error) { return p.TLS.Config(r) }

// Secured reports whether a transport encrypts.
func Secured(t TLS) bool {
	if p, ok := t.(*Proxied); ok {
		return p.TLS != nil
	}
	return t != nil
}

// Ends are a client's address and the one that it asked for.
type Ends struct{ From, To netip.AddrPort }

// header is the PROXY header for a connection's ends. A connection for nobody in
// particular, such as a probe, is told to be the proxy's own.
func (p *Proxied) header(ends Ends, conn net.Conn) ([]byte, error) {
	if !ends.From.IsValid() || !ends.To.IsValid() {
		if p.Version == 2 {
			return (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
		}
		return proxyproto.HeaderProxyFromAddrs(1, conn.LocalAddr(), conn.RemoteAddr()).Format()
	}
	return proxyproto.HeaderProxyFromAddrs(p.Version, address(ends.From), address(ends.To)).Format()
}

func address(a netip.AddrPort) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
}
