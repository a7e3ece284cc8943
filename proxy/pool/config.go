// Package pool keeps connections to endpoints: the seventh step of a request. It
// hands out a connection that nobody else uses, an idle one where it can.
package pool

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"time"
)

// TLS makes the client's side of a handshake. Whoever compiles the
// configuration implements it over secrets that rotate.
type TLS interface {
	Config(TLSRequest) (*tls.Config, error)
}

// TLSRequest is what a connection asks of its handshake beyond what the
// cluster's settings say.
type TLSRequest struct {
	SNI  string   // empty: the settings' own
	ALPN []string // nil: the settings' own
	// Fallback is the ALPN list where neither ALPN nor the settings give one.
	Fallback   []string
	VerifyName string // a name that the certificate has to show, empty for none
	// Shared asks for a connection that several requests use at once.
	Shared bool
	// Ends are whom the connection is for: told where it begins with a PROXY header,
	// and it is for nobody else then.
	Ends Ends
}

// Config says how connections to one cluster's endpoints are made and kept.
type Config struct {
	ConnectTimeout time.Duration // default 5 s, as Envoy's
	// IdleTimeout closes a connection that nobody used for so long; 0 never.
	IdleTimeout time.Duration
	// MaxRequests closes a connection after so many requests; 0 never.
	MaxRequests uint32
	// MaxDuration closes a connection that is older, once it is idle; 0 never.
	MaxDuration time.Duration
	// Sources are local addresses to dial from: the one of the endpoint's family, else
	// the first. Without any the kernel chooses.
	Sources []netip.Addr
	// Keepalive of TCP; the zero value leaves the kernel's.
	Keepalive Keepalive
	// Agreed is given connections whose handshake has agreed on a protocol, and gives
	// what carries the bytes on them; nil leaves them as they are.
	Agreed func(protocol string, conn net.Conn) net.Conn
}

// source is the address to dial from; nil lets the kernel choose.
func (c *Config) source(endpoint string) net.Addr {
	to, err := netip.ParseAddrPort(endpoint)
	if err != nil || len(c.Sources) == 0 {
		return nil
	}
	from := c.Sources[max(0, slices.IndexFunc(c.Sources, func(ip netip.Addr) bool { return ip.Is4() == to.Addr().Unmap().Is4() }))]
	return &net.TCPAddr{IP: from.AsSlice()}
}

// Keepalive are TCP's probes on idle connections.
type Keepalive struct {
	Enabled        bool
	Idle, Interval time.Duration
	Probes         int
}
