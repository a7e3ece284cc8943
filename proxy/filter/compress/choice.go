package compress

import (
	"slices"
	"strconv"
	"strings"
)

// Group is the filters of a chain that compress replies: a client's preferences
// choose among all of them.
type Group struct{ filters []*Filter }

// Add puts a filter in front of those that are there.
func (g *Group) Add(f *Filter) { g.filters = append([]*Filter{f}, g.filters...) }

// choose gives the coding that an Accept-Encoding field (RFC 9110 section 12.5.3)
// prefers among those that are offered for a content type, empty for none. Of
// equal preferences the one that is written first counts, unless a later one is
// of a filter that is to be chosen first.
func (g *Group) choose(accepted, kind string) string {
	offered := make([]*Filter, 0, 4)
	for _, f := range g.filters {
		if f.Response.likes(kind) && find(offered, f.Coding.Name) < 0 {
			offered = append(offered, f)
		}
	}
	for each := range strings.SplitSeq(accepted, ",") {
		if name, q, ok := preference(each); ok && q == 0 {
			offered = slices.DeleteFunc(offered, func(f *Filter) bool { return f.Coding.Name == name })
		}
	}
	choice, best := "", 0.0
	for each := range strings.SplitSeq(accepted, ",") {
		name, q, ok := preference(each)
		i := find(offered, name)
		if !ok || i < 0 && name != "identity" && name != "*" {
			continue
		}
		if q > best || q == best && q > 0 && i >= 0 && offered[i].First {
			choice, best = name, q
		}
	}
	switch {
	case len(offered) == 0:
		return ""
	case choice == "*":
		return offered[0].Coding.Name
	}
	return choice
}

// find is the place of the filter for a coding, -1 when there is none.
func find(list []*Filter, coding string) int {
	for i, f := range list {
		if f.Coding.Name == coding {
			return i
		}
	}
	return -1
}

// preference reads one member of the field; ok is false when its weight cannot be
// read. Only the first parameter may be a weight.
func preference(member string) (name string, q float64, ok bool) {
	name, parameter, _ := strings.Cut(member, ";")
	name, q, ok = strings.TrimSpace(name), 1, true
	key, value, found := strings.Cut(parameter, "=")
	if found && strings.EqualFold(strings.TrimSpace(key), "q") {
		var err error
		q, err = strconv.ParseFloat(strings.TrimSpace(value), 64)
		ok = err == nil
	}
	return name, q, ok
}
