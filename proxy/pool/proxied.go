package pool

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Proxied is the transport of connections that begin with a PROXY header, which
// tells the endpoint whom a connection is for. What follows it is TLS, or plain
// text when TLS is nil.
type Proxied struct {
	Version byte // 1 or 2
	TLS     TLS
	// Added are values that a header of version 2 has. Behind them come those of the
	// client's own header whose type Pass wants and they do not have; nil wants none.
	Added []proxyproto.TLV
	Pass  func(kind byte) bool
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

// Ends are a client's address and the one that it asked for, with what else its own
// PROXY header told.
type Ends struct {
	From, To netip.AddrPort
	TLVs     string // as [stream.Conn] has them
}

// EndsOf are a downstream connection's.
func EndsOf(c *stream.Conn) Ends { return Ends{c.Remote, c.Original, c.TLVs} }

// told is what of a client's ends connections to the endpoint are told of.
func (p *Proxied) told(e Ends) Ends {
	if p.Version != 2 || p.Pass == nil {
		e.TLVs = ""
	}
	return e
}

// header is the PROXY header for a connection's ends. A connection for nobody in
// particular, such as a probe, is told to be the proxy's own.
func (p *Proxied) header(ends Ends, conn net.Conn) ([]byte, error) {
	if !ends.From.IsValid() || !ends.To.IsValid() {
		if p.Version == 2 {
			return (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
		}
		return proxyproto.HeaderProxyFromAddrs(1, conn.LocalAddr(), conn.RemoteAddr()).Format()
	}
	header := proxyproto.HeaderProxyFromAddrs(p.Version, address(ends.From), address(ends.To))
	if p.Version == 2 {
		if err := header.SetTLVs(p.values(ends)); err != nil {
			return nil, err
		}
	}
	return header.Format()
}

// values are those of the header, without addresses.
func (p *Proxied) values(ends Ends) []proxyproto.TLV {
	theirs, err := proxyproto.SplitTLVs([]byte(p.told(ends).TLVs))
	if err != nil { // the listener has refused such
		return p.Added
	}
	return append(p.Added[:len(p.Added):len(p.Added)], slices.DeleteFunc(theirs, func(v proxyproto.TLV) bool {
		return !p.Pass(byte(v.Type)) || slices.ContainsFunc(p.Added, func(own proxyproto.TLV) bool { return own.Type == v.Type })
	})...)
}

// Introduce writes the header to a connection.
func (p *Proxied) Introduce(conn net.Conn, ends Ends) error {
	header, err := p.header(ends, conn)
	if err != nil {
		return fmt.Errorf("make the PROXY header: %w", err)
	}
	_, err = conn.Write(header)
	return err
}

func address(a netip.AddrPort) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
}
