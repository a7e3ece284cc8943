package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The limits of one question.
const (
	tries        = 2
	tryTimeout   = 2 * time.Second
	maxDatagram  = 1232
	noneTTL      = time.Second // without a start of authority
	longestNone  = 30 * time.Second
	longestFound = time.Hour
)

// records are what a server says about a name; no addresses when it knows that
// there are none.
type records struct {
	addrs []netip.Addr
	ttl   time.Duration
}

// exchange asks the server for one type of a name's records: by UDP, and by TCP
// when the answer does not fit (RFC 1035, section 4.2).
func (r *Resolver) exchange(ctx context.Context, name string, kind dnsmessage.Type) (records, error) {
	question, id, err := pack(name, kind)
	if err != nil {
		return records{}, err
	}
	var last error
	for range tries {
		var reply []byte
		if reply, last = r.send(ctx, "udp", question); last != nil {
			continue
		}
		found, truncated, err := unpack(reply, id)
		if truncated {
			if reply, last = r.send(ctx, "tcp", question); last != nil {
				continue
			}
			found, _, err = unpack(reply, id)
		}
		if last = err; err == nil {
			return found, nil
		}
	}
	return records{}, fmt.Errorf("ask %v for %s: %w", r.Server, name, last)
}

func pack(name string, kind dnsmessage.Type) ([]byte, uint16, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, 0, fmt.Errorf("name %q: %w", name, err)
	}
	id := uint16(rand.Uint32())
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: dnsmessage.ClassINET}},
	}
	text, err := m.Pack()
	if err != nil {
		return nil, 0, fmt.Errorf("name %q: %w", name, err)
	}
	return text, id, nil
}

// send gives the server a question and returns what it replies. Over TCP each
// message has its length before it (RFC 1035, section 4.2.2).
func (r *Resolver) send(ctx context.Context, network string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, r.Server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "udp" {
		if _, err := conn.Write(question); err != nil {
			return nil, err
		}
		reply := make([]byte, maxDatagram)
		n, err := conn.Read(reply)
		return reply[:n], err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		return nil, err
	}
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size))
	_, err = io.ReadFull(conn, reply)
	return reply, err
}

// unpack reads a reply. A server that fails is an error; one that says that
// there is nothing is not.
func unpack(reply []byte, id uint16) (found records, truncated bool, err error) {
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		return records{}, false, fmt.Errorf("read the answer: %w", err)
	}
	switch {
	case m.ID != id:
		return records{}, false, errors.New("the answer is to another question")
	case m.Truncated:
		return records{}, true, nil
	case m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError:
		return records{}, false, fmt.Errorf("the server answers %v", m.RCode)
	}
	found.ttl = longestFound
	for _, a := range m.Answers {
		found.ttl = min(found.ttl, time.Duration(a.Header.TTL)*time.Second)
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			found.addrs = append(found.addrs, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			found.addrs = append(found.addrs, netip.AddrFrom16(body.AAAA))
		}
	}
	if len(found.addrs) == 0 {
		found.ttl = noneFor(m.Authorities)
	}
	return found, false, nil
}

// noneFor is how long it holds that there is nothing (RFC 2308, section 5: the
// start of authority's minimum, or its own time to live if that is shorter).
func noneFor(authorities []dnsmessage.Resource) time.Duration {
	for _, a := range authorities {
		if soa, ok := a.Body.(*dnsmessage.SOAResource); ok {
			return min(longestNone, time.Duration(min(a.Header.TTL, soa.MinTTL))*time.Second)
		}
	}
	return noneTTL
}
