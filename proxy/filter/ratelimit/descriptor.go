// Package ratelimit refuses requests that come too often: by counting them here
// (Local), or by asking a service that counts for many proxies (Global). It
// stands behind authentication, so that limits may go by who asks.
package ratelimit

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Entry is one property of a request.
type Entry struct{ Key, Value string }

// Descriptor is what a limit may be set on.
type Descriptor []Entry

// Rule makes a descriptor of a request, or none when one of its actions has
// nothing to say.
type Rule struct {
	Stage   uint32
	Actions []Action
	// Off is the key by which the rule is switched off; nil for none.
	Off *runtime.Key
}

// on reports whether the rule is not switched off.
func (r *Rule) on() bool {
	return (runtime.Share{PerMillion: runtime.All.PerMillion, Key: r.Off}).Drawn()
}

// Action makes one entry, none when the request has nothing for it. ok is false
// when there is to be no descriptor then.
type Action interface {
	Entry(req *stream.Request) (e []Entry, ok bool)
}

// descriptors are those that the rules of a stage make.
func descriptors(rules []Rule, stage uint32, req *stream.Request) []Descriptor {
	var all []Descriptor
	for i := range rules {
		if rules[i].Stage != stage || !rules[i].on() {
			continue
		}
		var d Descriptor
		whole := true
		for _, a := range rules[i].Actions {
			e, ok := a.Entry(req)
			if whole = ok; !ok {
				break
			}
			d = append(d, e...)
		}
		if whole && len(d) > 0 {
			all = append(all, d)
		}
	}
	return all
}

// Fixed is an entry that is always the same.
type Fixed Entry

// Entry implements [Action].
func (f Fixed) Entry(*stream.Request) ([]Entry, bool) { return []Entry{Entry(f)}, true }

// Field is the value of a field of the request.
type Field struct {
	Name, Key string
	// Skip leaves the entry out when there is no field, instead of the whole
	// descriptor.
	Skip bool
}

// Entry implements [Action].
func (f Field) Entry(req *stream.Request) ([]Entry, bool) {
	value, found := route.FieldOf(req, f.Name)
	if !found {
		return nil, f.Skip
	}
	return []Entry{{f.Key, value}}, true
}

// Param is the value of a query parameter.
type Param struct {
	Name, Key string
	Skip      bool
}

// Entry implements [Action].
func (p Param) Entry(req *stream.Request) ([]Entry, bool) {
	value, found := req.Param(p.Name)
	if !found {
		return nil, p.Skip
	}
	return []Entry{{p.Key, value}}, true
}

// Client is the client's address, as far as hops are trusted. Bits, where they
// are set, leave so many of it.
type Client struct {
	Masked bool
	V4, V6 int
}

// Entry implements [Action].
func (c Client) Entry(req *stream.Request) ([]Entry, bool) {
	a := clientOf(req)
	if !a.IsValid() { // of a Unix socket
		return nil, false
	}
	if !c.Masked {
		return []Entry{{"remote_address", a.String()}}, true
	}
	bits := c.V4
	if a.Is6() {
		bits = c.V6
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return nil, false
	}
	return []Entry{{"masked_remote_address", p.String()}}, true
}

func clientOf(req *stream.Request) netip.Addr {
	if req.Info.Client.IsValid() {
		return req.Info.Client
	}
	return req.Conn.Remote.Addr().Unmap()
}

// Cluster is the name of the cluster that the route chose.
type Cluster struct{}

// Entry implements [Action].
func (Cluster) Entry(req *stream.Request) ([]Entry, bool) {
	return []Entry{{"destination_cluster", req.Info.Cluster}}, req.Info.Cluster != ""
}

// When is an entry for requests whose fields or parameters match, or do not.
type When struct {
	Key, Value string
	Expect     bool
	Headers    []route.HeaderMatch
	Query      []route.QueryMatch
}

// Entry implements [Action].
func (w *When) Entry(req *stream.Request) ([]Entry, bool) {
	m := route.Match{Path: route.Prefix, Headers: w.Headers, Query: w.Query}
	return []Entry{{w.Key, w.Value}}, m.Holds(req) == w.Expect
}

// Metadata is a string that earlier filters have left.
type Metadata struct {
	Key, Namespace string
	Path           []string
	Default        string
	Skip           bool
}

// Entry implements [Action].
func (m *Metadata) Entry(req *stream.Request) ([]Entry, bool) {
	value, _ := req.Info.Metadata.Get(m.Namespace, m.Path...)
	text, _ := value.(string)
	if text == "" {
		text = m.Default
	}
	if text == "" {
		return nil, m.Skip
	}
	return []Entry{{m.Key, text}}, true
}

// field is a response field.
func field(name string, value uint64) stream.Field {
	return stream.Field{Name: name, Value: strconv.FormatUint(value, 10)}
}

// key is the descriptor as a key.
func (d Descriptor) key() string { return fmt.Sprintf("%q", []Entry(d)) }
