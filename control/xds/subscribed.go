package xds

import (
	"slices"

	"github.com/lateenmesh/lateen/control/mesh"
)

// subscribed is what the planner knows of one resource type on its stream.
type subscribed struct {
	url string

	wildcard bool
	explicit bool     // the client has named resources: an empty list no longer means "*"
	names    []string // sorted, distinct, without "*"

	// have is what the client holds, as far as it has acknowledged. It is the
	// snapshot's own table whenever the two are equal.
	have   *mesh.Table
	flight *flight
	// owed are names that the client waits for, changed or not.
	owed map[string]bool
	// answer is true while the client waits for any answer, even an empty one.
	answer bool
	// refused maps the resources that the client rejected to the versions that
	// it rejected. They are not sent again.
	refused map[string]string
	// limit is how many resources a response may carry while the planner looks
	// for the one that the client refuses; 0 is no limit.
	limit int

	// stale is true when diff must be made anew.
	stale bool
	diff  difference

	lastNonce, ackedNonce string
	lastError             string // the text of the newest refusal, until an ack
}

// flight is a response that was sent and not answered.
type flight struct {
	Response
	batch
	number int // the nonce
}

func (t *subscribed) sent(r Response, b batch, number int) {
	t.flight = &flight{Response: r, batch: b, number: number}
	t.lastNonce, t.answer, t.stale = r.Nonce, false, true
	for _, res := range b.changed {
		delete(t.owed, res.Name)
	}
	for _, name := range b.removed {
		delete(t.owed, name)
	}
}

// settle notes that the client holds exactly target: the table is shared, the
// private copy goes.
func (t *subscribed) settle(target *mesh.Table) {
	t.have, t.limit = target, 0
	t.diff = difference{target: target}
	clear(t.owed)
}

// complete reports whether the state-of-the-world variant sends full sets of a
// type: "for Listener and Cluster resource types […] the server must include
// the complete state of the world".
func complete(url string) bool { return url == mesh.ListenerType || url == mesh.ClusterType }

// wildcards reports whether a request without names subscribes to everything:
// "For Listener and Cluster resource types, there is also a wildcard
// subscription". Types that we do not know are treated alike.
func wildcards(url string) bool {
	return url != mesh.EndpointType && url != mesh.RouteType && url != mesh.SecretType
}

// served orders the types: clusters, endpoints, listeners, routes, then others.
func served(url string) int {
	order := []string{mesh.ClusterType, mesh.EndpointType, mesh.ListenerType, mesh.RouteType, mesh.SecretType, url}
	return slices.Index(order, url)
}

// add starts a type with the client's first request for it.
func (p *Planner) add(r Request) {
	t := &subscribed{url: r.Type, owed: map[string]bool{}, refused: map[string]string{}, stale: true}
	p.types = append(p.types, t)
	slices.SortStableFunc(p.types, func(a, b *subscribed) int { return served(a.url) - served(b.url) })
	p.resubscribe(t, r)
	t.answer = (t.wildcard || complete(t.url)) && len(r.Have) == 0
	held := make([]*mesh.Resource, 0, len(r.Have))
	for name, version := range r.Have {
		if t.covers(name) {
			held = append(held, &mesh.Resource{Name: name, Type: t.url, Version: version})
		}
		delete(t.owed, name) // unchanged resources need not be repeated to a client that reconnects
	}
	for name := range p.warming {
		if t.url == mesh.EndpointType && t.covers(name) {
			t.owed[name] = true // its cluster was just sent, and needs them anew
		}
	}
	t.have = mesh.NewTable(held)
	if t.url == mesh.ClusterType && len(held) > 0 {
		p.returning = true
	}
	if p.typed(mesh.ListenerType) != nil && p.typed(mesh.RouteType) != nil {
		p.returning = false
	}
}

// covers reports whether the client asked for a name.
func (t *subscribed) covers(name string) bool {
	_, named := slices.BinarySearch(t.names, name)
	return t.wildcard || named
}

// resubscribe applies what a request says about the subscription.
func (p *Planner) resubscribe(t *subscribed, r Request) {
	if p.variant == Delta {
		t.subscribe(p.interned(t.url, r.Subscribe))
		t.unsubscribe(r.Unsubscribe)
	} else {
		t.replace(p.interned(t.url, r.Names))
	}
	// "a request for a given resource type but has never explicitly subscribed
	// to any resource names […] identically to […] explicitly subscribed to *"
	if !t.explicit {
		t.wildcard = wildcards(t.url)
	}
}

// interned gives names the memory of the resources that they name, so that
// thousands of streams do not hold thousands of copies.
func (p *Planner) interned(url string, names []string) []string {
	shared := make([]string, len(names))
	for i, name := range names {
		if r, ok := p.table(url).Get(name); ok {
			name = r.Name
		}
		shared[i] = name
	}
	return shared
}

// subscribe adds names. "The server must respond with all resources listed in
// resource_names_subscribe, even if it believes the client has the most recent
// version of them."
func (t *subscribed) subscribe(names []string) {
	if len(names) == 0 {
		return
	}
	t.explicit = true
	for _, name := range names {
		if name == "*" {
			t.wildcard = true
			continue
		}
		t.owed[name] = true
		delete(t.refused, name)
	}
	t.names = without(slices.Compact(slices.Sorted(slices.Values(append(t.names, names...)))), "*")
	t.stale = true
}

// unsubscribe drops names: the client has forgotten them. A name that the
// wildcard still covers is owed, because the client expects its state.
func (t *subscribed) unsubscribe(names []string) {
	if len(names) == 0 {
		return
	}
	if slices.Contains(names, "*") {
		t.wildcard, t.explicit = false, true
	}
	for _, name := range names {
		t.names = without(t.names, name)
		delete(t.refused, name)
		if delete(t.owed, name); t.wildcard {
			t.owed[name] = true
		}
	}
	t.trim()
}

// replace sets the whole subscription, as the state-of-the-world variant does
// in each request.
func (t *subscribed) replace(names []string) {
	if len(names) == 0 && !t.explicit {
		return
	}
	next := slices.Compact(slices.Sorted(slices.Values(names)))
	wildcard := slices.Contains(next, "*")
	next = without(next, "*")
	if t.explicit && wildcard == t.wildcard && slices.Equal(next, t.names) {
		return
	}
	for _, name := range next {
		if !t.covers(name) {
			t.owed[name] = true
			delete(t.refused, name)
		}
	}
	t.explicit, t.wildcard, t.names = true, wildcard, next
	t.trim()
}

// trim forgets what the client holds but no longer asks for.
func (t *subscribed) trim() {
	t.stale = true
	if t.wildcard {
		return
	}
	t.have = t.keep(t.have)
	if t.flight != nil {
		t.flight.after = t.keep(t.flight.after)
	}
	for name := range t.owed {
		if !t.covers(name) {
			delete(t.owed, name)
		}
	}
}

func (t *subscribed) keep(have *mesh.Table) *mesh.Table {
	var kept []*mesh.Resource
	for r := range have.All() {
		if t.covers(r.Name) {
			kept = append(kept, r)
		}
	}
	if len(kept) == have.Len() {
		return have
	}
	return mesh.NewTable(kept)
}

func without(sorted []string, name string) []string {
	if i, ok := slices.BinarySearch(sorted, name); ok {
		return slices.Delete(slices.Clone(sorted), i, i+1)
	}
	return sorted
}
