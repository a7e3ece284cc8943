// Package xds streams resources to proxies: Envoy's aggregated discovery
// service, in its incremental and its state-of-the-world variant.
//
// It is the fifth stage of a config change. The push stage says what each
// proxy should have (a [mesh.Snapshot]); this one finds the difference to what
// the proxy holds, sends it in an order that never breaks traffic, and keeps
// account of what was acknowledged and what was refused.
//
// The core is [Planner]: one per stream, without I/O, goroutines or a clock.
// Requests and snapshots go in, responses come out. [Server] is the thin gRPC
// shell around it.
package xds

import (
	"slices"
	"strconv"

	"github.com/lateenmesh/lateen/control/mesh"
)

// Variant is one of the two forms of the protocol.
type Variant uint8

// The variants: differences only, or complete sets.
const (
	Delta Variant = iota
	StateOfTheWorld
)

// Request is what a client said, in either variant.
type Request struct {
	Type  string // type URL
	Nonce string // of the response that it answers; empty when it answers none
	// Nack is true when the client refused that response, Error says why.
	Nack  bool
	Error string

	// Subscribe and Unsubscribe change the subscription (Delta).
	Subscribe, Unsubscribe []string
	// Have is what a reconnecting client holds, name to version (Delta, first
	// request of a type).
	Have map[string]string

	// Names is the whole subscription (StateOfTheWorld).
	Names []string
}

// Response is what goes to the client.
type Response struct {
	Type  string
	Nonce string
	// Version stands for the whole response; clients only show it.
	Version   string
	Resources []*mesh.Resource
	Removed   []string // Delta only
}

// Rejection is a client's refusal of a response.
type Rejection struct {
	Type string
	Text string // the client's words
	// Culprits are the resources that will not be sent again until they
	// change. It is empty while the planner still looks for them by sending
	// smaller responses.
	Culprits []*mesh.Resource
}

// Planner decides what one stream sends, and when. It is a value machine: the
// caller feeds it with [Planner.Request] and [Planner.Snapshot] and drains
// [Planner.Next] after each. It is not safe for concurrent use.
type Planner struct {
	variant Variant
	snap    *mesh.Snapshot
	types   []*subscribed // in the order in which they are served
	nonce   int
	// warming are the clusters that were sent and whose endpoints were not
	// acknowledged since: routes to them must wait. The value is the number of
	// the response that carried the cluster.
	warming map[string]int
	// relented are resources of which the client took a newer version after
	// it had refused one; until the caller asks.
	relented []*mesh.Resource
	// returning is true from the moment that a client comes back with clusters
	// until it has said which listeners and routes it holds.
	returning bool
}

// NewPlanner starts a stream for a client that should have what snap says.
func NewPlanner(v Variant, snap *mesh.Snapshot) *Planner {
	return &Planner{variant: v, snap: snap, warming: map[string]int{}}
}

// Snapshot tells the planner what the client should have from now on.
func (p *Planner) Snapshot(snap *mesh.Snapshot) {
	for _, t := range p.types {
		if snap.Tables[t.url] != p.snap.Tables[t.url] {
			t.stale = true
		}
	}
	p.snap = snap
}

// Request takes a client's request: a subscription, an acknowledgement or a
// refusal, often two of them in one. It returns the refusal, if there was one.
//
// "The management server should not send a DiscoveryResponse for any
// DiscoveryRequest that has a stale nonce." Such a request is ignored, except
// that an incremental one may still change the subscription.
func (p *Planner) Request(r Request) (rejected *Rejection, stale bool) {
	t := p.typed(r.Type)
	if t == nil {
		p.add(r)
		return nil, false
	}
	if t.flight != nil && r.Nonce == t.flight.Nonce {
		if r.Nack {
			rejected = p.refused(t, r.Error)
		} else {
			p.acked(t)
		}
	} else if r.Nonce != "" && r.Nonce != t.lastNonce {
		stale = true
		if p.variant == StateOfTheWorld {
			return nil, true
		}
	}
	p.resubscribe(t, r)
	return rejected, stale
}

// Relented lists the resources that the client had refused and that it took in
// a newer version since the last call.
func (p *Planner) Relented() []*mesh.Resource {
	rs := p.relented
	p.relented = nil
	return rs
}

// Next is the next response to send. It is false when there is nothing to
// send before the next request or snapshot.
func (p *Planner) Next() (Response, bool) {
	p.forgetWarm()
	for _, t := range p.types {
		if t.flight != nil {
			continue // "one response in flight": its answer starts the next
		}
		if b, ok := p.batch(t); ok {
			return p.send(t, b), true
		}
	}
	return Response{}, false
}

// batch is one response's content, before it is sent.
type batch struct {
	changed []*mesh.Resource
	removed []string
	after   *mesh.Table // what the client holds if it accepts
}

// batch picks what may be sent of t now.
func (p *Planner) batch(t *subscribed) (batch, bool) {
	d := t.difference(p.table(t.url))
	changed, removed, whole := d.changed, d.removed, true
	if p.updatesHeld(t) {
		return batch{}, false
	}
	if len(removed) > 0 && p.removalsHeld(t) {
		removed, whole = nil, false
	}
	if t.limit > 0 && len(changed) > t.limit {
		changed, removed, whole = changed[:t.limit], nil, false
	}
	if p.variant == StateOfTheWorld && !complete(t.url) && len(changed) == 0 {
		removed = nil // this variant cannot say it: the client drops them itself
	}
	absent := d.absent
	if p.variant == StateOfTheWorld {
		absent = nil
	}
	if len(changed)+len(removed)+len(absent) == 0 && !t.answer {
		if whole {
			t.settle(d.target)
		}
		return batch{}, false
	}
	after := d.target
	if !whole {
		after = apply(t.have, changed, removed)
	}
	return batch{changed: changed, removed: append(removed[:len(removed):len(removed)], absent...), after: after}, true
}

// send puts b in flight.
func (p *Planner) send(t *subscribed, b batch) Response {
	p.nonce++
	r := Response{Type: t.url, Nonce: strconv.Itoa(p.nonce), Resources: b.changed}
	if p.variant == Delta {
		r.Version, r.Removed = strconv.FormatUint(p.snap.Epoch, 10), b.removed
	} else {
		if complete(t.url) {
			r.Resources = slices.Collect(b.after.All())
		}
		r.Version = setVersion(r.Resources)
	}
	t.sent(r, b, p.nonce)
	if t.url == mesh.ClusterType {
		p.warm(b.changed)
	}
	return r
}

// acked notes that the client holds what was in flight.
func (p *Planner) acked(t *subscribed) {
	t.have, t.limit = t.flight.after, 2*t.limit
	t.ackedNonce, t.lastError = t.flight.Nonce, ""
	for _, r := range t.flight.changed {
		if _, ok := t.refused[r.Name]; ok {
			delete(t.refused, r.Name)
			p.relented = append(p.relented, r)
		}
	}
	p.landed(t)
}

// landed ends t's flight, whatever its outcome.
func (p *Planner) landed(t *subscribed) {
	if t.url == mesh.EndpointType {
		for _, r := range t.flight.changed {
			// Endpoints from before the cluster, or that the client has
			// unsubscribed from since, do not warm it.
			if t.flight.number > p.warming[r.Name] && t.covers(r.Name) && !t.owed[r.Name] {
				delete(p.warming, r.Name)
			}
		}
	}
	t.flight, t.stale = nil, true
}

// TypeState is what a stream knows of one type, for the debug pages.
type TypeState struct {
	Type string
	// Sent and Acked are the nonces of the newest response and of the newest
	// one that was accepted; empty when there was none.
	Sent, Acked string
	// Error is the client's newest refusal, empty when it has accepted since.
	Error string
	// Have is what the client holds, as far as it has acknowledged.
	Have *mesh.Table
}

// State lists the types that the client has asked for, in order.
func (p *Planner) State() []TypeState {
	var out []TypeState
	for _, t := range p.types {
		out = append(out, TypeState{Type: t.url, Sent: t.lastNonce, Acked: t.ackedNonce, Error: t.lastError, Have: t.have})
	}
	return out
}

// Quiet reports whether nothing is in flight and nothing is to be sent.
func (p *Planner) Quiet() bool {
	for _, t := range p.types {
		d := t.difference(p.table(t.url))
		if t.flight != nil || len(d.changed)+len(d.removed) > 0 {
			return false
		}
	}
	return true
}

// typed finds the state of a type; nil before its first request.
func (p *Planner) typed(url string) *subscribed {
	for _, t := range p.types {
		if t.url == url {
			return t
		}
	}
	return nil
}

func (p *Planner) table(url string) *mesh.Table { return p.snap.Tables[url] }
