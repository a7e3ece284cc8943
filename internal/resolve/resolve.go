// Package resolve finds the addresses of names, and for how long they hold, by the
// system's settings or by name servers of one's own.
package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver asks name servers. The zero value asks the system's, over UDP.
type Resolver struct {
	Servers []netip.AddrPort // instead of the system's; tried in turn
	TCP     bool             // ask over TCP only
	// Absolute takes names as they are, and looks in no domain for them.
	Absolute bool
}

// Resolve gives the addresses of a name and how long they hold, 0 where nobody
// says, as for a name in the system's file of hosts. There are none when the
// servers know no such name.
func (r *Resolver) Resolve(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error) {
	if r.Absolute && !strings.HasSuffix(name, ".") {
		name += "."
	}
	if len(r.Servers) == 0 {
		return r.ask(ctx, "", name)
	}
	for _, server := range r.Servers {
		if addrs, ttl, err = r.ask(ctx, server.String(), name); err == nil || ctx.Err() != nil {
			break
		}
	}
	return addrs, ttl, err
}

// ask asks one server, or the system's when it is empty.
func (r *Resolver) ask(ctx context.Context, server, name string) ([]netip.Addr, time.Duration, error) {
	ttl := &shortest{}
	ttl.seconds.Store(math.MaxUint32)
	lookup := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if r.TCP {
			network = "tcp" + strings.TrimPrefix(network, "udp")
		}
		if server != "" {
			address = server
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if udp, ok := conn.(*net.UDPConn); ok {
			return &packets{udp, ttl}, nil
		}
		return &framed{Conn: conn, ttl: ttl}, nil
	}}
	addrs, err := lookup.LookupNetIP(ctx, "ip", name)
	var missing *net.DNSError
	if errors.As(err, &missing) && missing.IsNotFound {
		return nil, 0, nil
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, ttl.duration(), err
}

// Families parts addresses into those of IPv4 and of IPv6, each in their order.
func Families(addrs []netip.Addr) (v4, v6 []netip.Addr) {
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	return v4, v6
}

// shortest is the shortest time for which some record holds.
type shortest struct{ seconds atomic.Uint32 }

func (s *shortest) duration() time.Duration {
	if n := s.seconds.Load(); n != math.MaxUint32 {
		return time.Duration(n) * time.Second
	}
	return 0
}

// read looks at an answer. One that is not understood is nobody's concern here:
// the resolver that asked says so.
func (s *shortest) read(message []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil {
		return
	}
	if p.SkipAllQuestions() != nil {
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		for {
			old := s.seconds.Load()
			if h.TTL >= old || s.seconds.CompareAndSwap(old, h.TTL) {
				break
			}
		}
		if p.SkipAnswer() != nil {
			return
		}
	}
}

// packets looks at answers over UDP.
type packets struct {
	*net.UDPConn
	ttl *shortest
}

// Read implements net.Conn.
func (c *packets) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err == nil {
		c.ttl.read(p[:n])
	}
	return n, err
}

// framed looks at answers over TCP, which come behind their length.
type framed struct {
	net.Conn
	ttl *shortest

	mu   sync.Mutex
	seen []byte // guarded by mu
}

// Read implements net.Conn.
func (c *framed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, p[:n]...)
	for len(c.seen) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.seen))
		if len(c.seen) < end {
			break
		}
		c.ttl.read(c.seen[2:end])
		c.seen = c.seen[end:]
	}
	return n, err
}
