package listener

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// ProxyProtocol is what is asked of the PROXY header (version 1 or 2) with which a
// load balancer in front tells whom a connection is from.
type ProxyProtocol struct {
	// When says for which destination ports a header is read.
	When func(port uint16) bool
	// Optional lets connections without a header pass; otherwise they are closed.
	Optional bool
	// NoV1 and NoV2 refuse a version.
	NoV1, NoV2 bool
	// Note says by type which values of a header are noted about its connection: in
	// its metadata, or with InState in its state under [TLVState].
	Note    map[byte]Noted
	InState bool
	// Pass says by type which values endpoints are told of; nil is none.
	Pass func(kind byte) bool
}

// read takes the header off the connection and notes what it tells. The
// connection that it returns gives what follows.
func (p *ProxyProtocol) read(conn net.Conn, facts *stream.Conn, timeout time.Duration) (net.Conn, error) {
	if timeout > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return conn, err
		}
	}
	r := bufio.NewReader(conn)
	awaitLine(r)
	header, err := proxyproto.Read(r)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) && p.Optional {
		header, err = nil, nil
	}
	if err != nil {
		return conn, err
	}
	if timeout > 0 {
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return conn, err
		}
	}
	rest, err := r.Peek(r.Buffered())
	if err != nil {
		return conn, err
	}
	follows := &replayed{conn, rest}
	if header == nil {
		return follows, nil
	}
	if header.Version == 1 && p.NoV1 || header.Version == 2 && p.NoV2 {
		return conn, fmt.Errorf("version %d is not allowed", header.Version)
	}
	if header.Command.IsLocal() || header.TransportProtocol.IsUnspec() {
		return follows, nil // the balancer speaks for itself
	}
	from, to, ok := header.TCPAddrs()
	if !ok {
		return conn, errors.New("the addresses are not those of TCP")
	}
	facts.Socket = &stream.Ends{Local: facts.Local, Remote: facts.Remote}
	facts.Remote, facts.Local = plain(from), plain(to)
	facts.Original = facts.Local
	return follows, p.note(header, facts)
}

// awaitLine waits until a header of version 1 is there whole, for the library gives
// up on one that comes in pieces. Anything else it leaves alone.
func awaitLine(r *bufio.Reader) {
	const begin, longest = "PROXY ", 107
	for n := 1; n <= longest; n++ {
		p, err := r.Peek(n)
		if err != nil || n <= len(begin) && p[n-1] != begin[n-1] || p[n-1] == '\n' {
			return
		}
	}
}

// plain is an address without the form of IPv4 in IPv6.
func plain(a *net.TCPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
