package cluster

import (
	"slices"
	"strings"
)

// Subsets parts a cluster's endpoints by their labels, so that a request goes only
// to those that have the labels that it asks for.
type Subsets struct {
	// Selectors are the sets of keys by which subsets are made.
	Selectors []Selector
	Fallback  Fallback
	Default   Labels // of the subset for ToDefault
}

// Selector makes a subset for each combination of the values that some keys have.
type Selector struct {
	Keys []string // sorted
	// Fallback of requests that ask by these keys in vain; ToKeys asks again by
	// FallbackKeys alone.
	Fallback     Fallback
	FallbackKeys []string
}

// Fallback is where requests go for which there is no subset.
type Fallback uint8

// The ways.
const (
	ToNobody  Fallback = iota
	ToAny              // any endpoint
	ToDefault          // the default subset
	ToKeys             // by fewer keys; only of a selector
	Unsaid             // as the cluster says; only of a selector
)

// Label is what an endpoint has or a request asks for: a key with a value in JSON.
type Label struct{ Key, Value string }

// Labels are several, in the order of their keys.
type Labels []Label

// Sorted puts labels in order.
func Sorted(l Labels) Labels {
	slices.SortFunc(l, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return l
}

// Over merges labels over those beneath: the upper ones win.
func (l Labels) Over(under Labels) Labels {
	if len(l) == 0 {
		return under
	}
	out := slices.Clone(l)
	for _, u := range under {
		if !slices.ContainsFunc(l, func(o Label) bool { return o.Key == u.Key }) {
			out = append(out, u)
		}
	}
	return Sorted(out)
}

// by picks the labels of some keys, which have to be sorted; ok is false when one
// is missing.
func (l Labels) by(keys []string) (some Labels, ok bool) {
	for _, k := range keys {
		i, found := slices.BinarySearchFunc(l, k, func(l Label, k string) int { return strings.Compare(l.Key, k) })
		if !found {
			return nil, false
		}
		some = append(some, l[i])
	}
	return some, true
}

// name is the labels as one text.
func (l Labels) name() string {
	var b strings.Builder
	for _, each := range l {
		b.WriteString(each.Key + "\x00" + each.Value + "\x00")
	}
	return b.String()
}

// defaultSubset is the name of the default one: no labels have it.
const defaultSubset = "\x00"

// part arranges the hosts of each subset, the default one if something falls back to
// it.
func (s *Subsets) part(hosts []*Host, arrange func([]*Host) *endpoints) map[string]*endpoints {
	of := map[string][]*Host{}
	toDefault := s.Fallback == ToDefault || slices.ContainsFunc(s.Selectors, func(sel Selector) bool { return sel.Fallback == ToDefault })
	for _, h := range hosts {
		for _, sel := range s.Selectors {
			if some, ok := h.labels().by(sel.Keys); ok && !slices.ContainsFunc(of[some.name()], func(o *Host) bool { return o == h }) {
				of[some.name()] = append(of[some.name()], h)
			}
		}
		if toDefault && h.has(s.Default) {
			of[defaultSubset] = append(of[defaultSubset], h)
		}
	}
	out := map[string]*endpoints{}
	for name, list := range of {
		out[name] = arrange(list)
	}
	return out
}

// has reports whether the host has all of the labels.
func (h *Host) has(labels Labels) bool {
	for _, want := range labels {
		if !slices.Contains(h.labels(), want) {
			return false
		}
	}
	return true
}

var nobody = &endpoints{}

// within are the endpoints for a request that asks for labels.
func (s *Subsets) within(e *endpoints, labels Labels) *endpoints {
	fallback := s.Fallback
	for i := range s.Selectors {
		sel := &s.Selectors[i]
		if !slices.EqualFunc(labels, sel.Keys, func(l Label, k string) bool { return l.Key == k }) {
			continue
		}
		if some := e.subsets[labels.name()]; some != nil {
			return some
		}
		switch sel.Fallback {
		case Unsaid:
		case ToKeys:
			if some, ok := labels.by(sel.FallbackKeys); ok && len(some) < len(labels) {
				return s.within(e, some)
			}
			fallback = ToNobody
		default:
			fallback = sel.Fallback
		}
		break
	}
	switch fallback {
	case ToAny:
		return e
	case ToDefault:
		if some := e.subsets[defaultSubset]; some != nil {
			return some
		}
	}
	return nobody
}
