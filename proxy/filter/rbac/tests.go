package rbac

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Anything always holds.
type Anything struct{}

// Holds implements [Test].
func (Anything) Holds(Subject) bool { return true }

// All holds when each of its tests does.
type All []Test

// Holds implements [Test].
func (a All) Holds(s Subject) bool {
	for _, t := range a {
		if !t.Holds(s) {
			return false
		}
	}
	return true
}

// Any holds when one of its tests does.
type Any []Test

// Holds implements [Test].
func (a Any) Holds(s Subject) bool { return anyOf(a, s) }

// Not holds when its test does not.
type Not struct{ Test Test }

// Holds implements [Test].
func (n Not) Holds(s Subject) bool { return !n.Test.Holds(s) }

// Header compares a field of the request; one that comes several times, by each
// of its values, so that a second one does not hide the first.
type Header struct{ Match route.HeaderMatch }

// Holds implements [Test]. A byte stream has no fields.
func (h *Header) Holds(s Subject) bool { return s.Req != nil && h.Match.HoldsOfAny(s.Req) }

// Path compares the request's path without its query and fragment.
type Path struct{ Match route.StringMatch }

// Holds implements [Test].
func (p *Path) Holds(s Subject) bool { return s.Req != nil && p.Match.Holds(pathOf(s.Req)) }

func pathOf(req *stream.Request) string {
	path := req.PathOnly()
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	return path
}

// Template compares the path with a URI template, compiled to an expression.
type Template struct{ Expression *regexp.Regexp }

// Holds implements [Test].
func (t *Template) Holds(s Subject) bool {
	return s.Req != nil && t.Expression.MatchString(pathOf(s.Req))
}

// Address is one end of a connection.
type Address uint8

// The ends.
const (
	Destination  Address = iota // where the client wanted to go
	DirectRemote                // the socket's peer
	Remote                      // the client, as far as hops are trusted
	Source                      // the peer, as the socket or a PROXY header says
)

// In compares an address with a range.
type In struct {
	Which Address
	Range netip.Prefix
}

// Holds implements [Test].
func (i In) Holds(s Subject) bool { return i.Range.Contains(i.Which.of(s).Unmap()) }

func (a Address) of(s Subject) netip.Addr {
	switch a {
	case Destination:
		return s.Conn.Original.Addr()
	case DirectRemote:
		return s.Conn.Direct().Remote.Addr()
	case Remote:
		if s.Req != nil && s.Req.Info.Client.IsValid() {
			return s.Req.Info.Client
		}
	}
	return s.Conn.Remote.Addr()
}

// Port compares the destination's port: in [Low, High].
type Port struct{ Low, High uint16 }

// Holds implements [Test].
func (p Port) Holds(s Subject) bool {
	port := s.Conn.Original.Port()
	return port >= p.Low && port <= p.High
}

// ServerName compares the name that the client asked for in its TLS handshake.
type ServerName struct{ Match route.StringMatch }

// Holds implements [Test].
func (n *ServerName) Holds(s Subject) bool {
	name := s.Conn.SNI
	if s.Conn.TLS != nil {
		name = s.Conn.TLS.SNI
	}
	return n.Match.Holds(name)
}

// Authenticated compares the names in the certificate that the peer has proved
// to own: its URIs, then its DNS names, then its subject.
type Authenticated struct {
	// Match is nil for anybody with a certificate.
	Match *route.StringMatch
}

// Holds implements [Test].
func (a Authenticated) Holds(s Subject) bool {
	t := s.Conn.TLS
	if !t.Mutual() || a.Match == nil {
		return t.Mutual()
	}
	for _, names := range [][]string{t.URISANs, t.DNSSANs} {
		for _, name := range names {
			if a.Match.Holds(name) {
				return true
			}
		}
	}
	return a.Match.Holds(t.Subject)
}

// Metadata is a condition on what earlier filters have left.
type Metadata func(*stream.Metadata) bool

// Holds implements [Test]. What is left about a connection is not left about its
// requests.
func (m Metadata) Holds(s Subject) bool {
	if s.Req == nil {
		return m(&s.Conn.Metadata)
	}
	return m(&s.Req.Info.Metadata)
}

// State compares a string that earlier filters have left for the log.
type State struct {
	Key   string
	Match route.StringMatch
}

// Holds implements [Test].
func (f *State) Holds(s Subject) bool {
	var value string
	var found bool
	if s.Req != nil {
		value, found = s.Req.State(f.Key)
	} else {
		value, found = s.Conn.State[f.Key]
	}
	return found && f.Match.Holds(value)
}
