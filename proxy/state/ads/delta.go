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
	wanted map[string]bool
	held   map[string]string // accepted resources: name to version
	// unnamed is true while the stream was asked for everything in the way that all
	// servers know, by a first request without names.
	unnamed bool
}

func newDelta() *delta { return &delta{types: map[string]*deltaType{}} }

// open asks for everything wanted and tells what is held from an earlier
// stream, so that an unchanged resource is not sent again: "the
// initial_resource_versions map … must be populated for first request in a
// stream" of each type.
func (d *delta) open() []message {
	var out []message
	for _, url := range slices.SortedFunc(maps.Keys(d.types), byOrder) {
		if t := d.types[url]; len(t.wanted) > 0 {
			out = append(out, t.first(url))
		}
	}
	return out
}

func (t *deltaType) first(url string) message {
	m := message{typeURL: url, initial: maps.Clone(t.held)}
	if t.unnamed = len(t.wanted) == 1 && t.wanted[Everything]; !t.unnamed {
		m.subscribe = slices.Sorted(maps.Keys(t.wanted))
	}
	return m
}

func (d *delta) want(url string, names []string) []message {
	t := d.types[url]
	if t == nil {
		if len(names) == 0 {
			return nil
		}
		t = &deltaType{wanted: map[string]bool{}, held: map[string]string{}}
		d.types[url] = t
		for _, n := range names {
			t.wanted[n] = true
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
	if t.wanted[Everything] && !next[Everything] {
		maps.DeleteFunc(t.held, func(n, _ string) bool { return !next[n] })
	}
	t.wanted = next
	if len(m.subscribe)+len(m.unsubscribe) == 0 {
		return nil
	}
	if t.unnamed && len(m.subscribe) > 0 { // who names something wants nothing else without saying so
		m.subscribe, t.unnamed = append(m.subscribe, Everything), false
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
		if t.wanted[Everything] || t.wanted[res.Name] {
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
