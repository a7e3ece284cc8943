package route

import (
	"net/url"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Param sets a query parameter, or removes all of its name.
type Param struct {
	Name   string
	Value  Value
	Action AppendAction
	Remove bool
	// Encoded says that name and value are as they stand in a query; what cannot stand
	// there is encoded all the same.
	Encoded bool
}

// pair is a parameter as it is written in a query.
type pair struct{ name, value string }

// is reports whether a parameter has a name, however that is written.
func (p pair) is(name string) bool {
	if p.name == name {
		return true
	}
	plain, err := url.PathUnescape(p.name)
	return err == nil && plain == name
}

// Query gives a request's path with its query changed: the parameters in order of
// their names, as Envoy writes them. Those that are not changed stay as they are
// written.
func Query(params []Param, req *stream.Request) string {
	path, rest, _ := strings.Cut(req.Path, "?")
	var pairs []pair
	for each := range strings.SplitSeq(rest, "&") {
		if each != "" {
			name, value, _ := strings.Cut(each, "=")
			pairs = append(pairs, pair{name, value})
		}
	}
	for i := range params {
		pairs = params[i].apply(pairs, req)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	for i, p := range pairs {
		separator := "&"
		if i == 0 {
			separator = "?"
		}
		path += separator + p.name + "=" + p.value
	}
	return path
}

func (p *Param) apply(pairs []pair, req *stream.Request) []pair {
	named := func(have pair) bool { return have.is(p.Name) }
	found := slices.ContainsFunc(pairs, named)
	switch {
	case p.Remove:
		return slices.DeleteFunc(pairs, named)
	case p.Action == AddIfAbsent && found, p.Action == OverwriteIfExists && !found:
		return pairs
	case p.Action != AppendOrAdd:
		pairs = slices.DeleteFunc(pairs, named)
	}
	value := p.Value.Literal
	if p.Value.Format != nil {
		value = p.Value.Format(req, nil)
	}
	if p.Encoded {
		return append(pairs, pair{escape(p.Name, standing), escape(value, standing)})
	}
	return append(pairs, pair{escape(p.Name, plain), escape(value, plain)})
}

// plain reports whether forms leave a byte as it is.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '*'
}

// standing reports whether a byte can stand within a query's parameter.
func standing(c byte) bool { return c > ' ' && c < 0x7f && c != '#' && c != '&' }

// escape percent-encodes text for a query, all but what is kept.
func escape(s string, kept func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(s) {
		if c := s[i]; kept(c) {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return out.String()
}
