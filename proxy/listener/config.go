// Package listener accepts connections, finds out what they carry, and hands each
// to the filter chain that its address, server name and protocol choose: the
// first step of a request.
package listener

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// TLS is the server's side of a handshake. Whoever compiles the configuration
// implements it over secrets that rotate.
type TLS interface {
	Config(*tls.ClientHelloInfo) (*tls.Config, error)
}

// Handler serves a connection to its end and closes it. drain is closed when
// the connection should end at the next good moment.
type Handler interface {
	Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{})
}

// Direction is whose traffic a listener carries.
type Direction uint8

// The directions.
const (
	Unspecified Direction = iota
	Inbound
	Outbound
)

// Config is a listener in runtime form.
type Config struct {
	Name string
	// Metadata is for logs.
	Metadata stream.Metadata
	Address  socket.Address
	// More are further addresses at which it listens.
	More []socket.Address
	// Bind is false for a listener that only gets connections handed over by
	// one that uses original destinations.
	Bind bool
	// UseOriginalDst hands connections to the listener of their original
	// destination, if there is one.
	UseOriginalDst bool
	Direction      Direction
	// Exempt listeners accept connections under any pressure.
	Exempt bool
	// Unlimited connections do not count against [Deps.MaxConnections].
	Unlimited bool
	// ProxyProtocol is what is asked of a PROXY header; nil expects none.
	ProxyProtocol *ProxyProtocol
	// InspectTLS and InspectHTTP say for which destination ports the first bytes
	// are looked at; nil is never.
	InspectTLS, InspectHTTP func(port uint16) bool
	// JA3 and JA4 are fingerprints of the client that InspectTLS takes for logs.
	JA3, JA4 bool
	// InspectTimeout bounds that look; 0 is for ever. When it is over, the
	// connection goes on as raw bytes if ContinueOnTimeout, else it is closed.
	InspectTimeout    time.Duration
	ContinueOnTimeout bool
	Chains            []*Chain
	Default           *Chain // nil: a connection that matches no chain is closed
	// Refused is told of connections that no handler gets: those that matched no
	// chain, and those whose handshake failed, with the reason. It may be nil.
	Refused func(conn *stream.Conn, failed error)
}

// Addresses are all at which it listens.
func (c *Config) Addresses() []socket.Address {
	return append([]socket.Address{c.Address}, c.More...)
}

// Chain is what happens to connections that match.
type Chain struct {
	Name string
	// Metadata is for logs.
	Metadata stream.Metadata
	Match    Match
	TLS      TLS // nil: not ended here
	// HandshakeTimeout bounds the handshake; default 15 s.
	HandshakeTimeout time.Duration
	Handler          Handler
}

// Match chooses a chain. An empty criterion matches everything; among chains
// the most specific wins, criterion by criterion in the order of the fields.
type Match struct {
	Port           uint16
	Prefixes       []netip.Prefix // of the destination
	ServerNames    []string       // exact or "*.suffix"
	Transport      string         // "tls" or "raw_buffer"
	ALPN           []string
	SourcePrefixes []netip.Prefix
	// DirectPrefixes are of the socket's peer, whatever a PROXY header said.
	DirectPrefixes []netip.Prefix
	SourcePorts    []uint16
}
