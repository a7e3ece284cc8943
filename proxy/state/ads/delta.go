package ads

import (
	"maps"
	"slices"
)

// delta is the incremental variant: only changes of interest and changes of
// resources travel.
type delta struct {
	types map[string]*deltaType
}

type deltaType struct {
	wanted map[string]bool   // empty for a wildcard
	held   map[string]string // accepted resources: name to version
}

func newDelta() *delta { return &delta{types: map[string]*deltaType{}} }

// open asks for everything wanted and tells what is held from an earlier
// stream, so that an unchanged resource is not sent again: "the
// initial_resource_versions map … must be populated for first request in a
// stream" of each type.
func (d *delta) open() []message {
	var out []message
	for _, url := range slices.SortedFunc(maps.Keys(d.types), byOrder) {
		t := d.types[url]
		if !wildcard(url) && len(t.wanted) == 0 {
			continue
		}
		out = append(out, t.first(url))
	}
	return out
}

func (t *deltaType) first(url string) message {
	return message{typeURL: url, subscribe: slices.Sorted(maps.Keys(t.wanted)), initial: maps.Clone(t.held)}
}

func (d *delta) want(url string, names []string) []message {
	t := d.types[url]
	if t == nil {
		t = &deltaType{wanted: map[string]bool{}, held: map[string]string{}}
		d.types[url] = t
		for _, n := range names {
			t.wanted[n] = true
		}
		if !wildcard(url) && len(names) == 0 {
			return nil
		}
		return []message{t.first(url)}
	}
	m := message{typeURL: url}
	next := make(map[string]bool, len(names))
	for _, n := range names {
		next[n] = true
		if !t.wanted[n] {
			m.subscribe = append(m.subscribe, n)
		}
	}
	for n := range t.wanted {
		if !next[n] {
			m.unsubscribe = append(m.unsubscribe, n)
			delete(t.held, n)
		}
	}
	t.wanted = next
	if len(m.subscribe)+len(m.unsubscribe) == 0 {
		return nil
	}
	slices.Sort(m.subscribe)
	slices.Sort(m.unsubscribe)
	return []message{m}
}

// answer records what was accepted. Nothing of a refused response is recorded:
// after a reconnect the server sends it again.
func (d *delta) answer(r response, err error) message {
	m := message{typeURL: r.typeURL, nonce: r.nonce}
	if err != nil {
		m.problem = err.Error()
		return m
	}
	t := d.types[r.typeURL]
	if t == nil {
		return m
	}
	for _, res := range r.update.Set {
		if wildcard(r.typeURL) || t.wanted[res.Name] {
			t.held[res.Name] = res.Version
		}
	}
	for _, name := range r.update.Removed {
		delete(t.held, name)
	}
	return m
}

func (d *delta) forget(url string, names []string) {
	if t := d.types[url]; t != nil {
		for _, name := range names {
			delete(t.held, name)
		}
	}
}

func byOrder(a, b string) int {
	if d := order(a) - order(b); d != 0 {
		return d
	}
	if a < b {
		return -1
	}
	return 1
}
