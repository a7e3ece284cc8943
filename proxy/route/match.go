package route

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// path compares the request's path, which comes without its query.
func (m *Match) path(req *stream.Request, path string) bool {
	switch m.Path {
	case AnyConnect:
		return req.Method == stream.Connect
	case Regex:
		return m.Regex.MatchString(path)
	case Exact:
		return path == m.Value || m.FoldCase && strings.EqualFold(path, m.Value)
	case SeparatedPrefix:
		return m.hasPrefix(path) && (len(path) == len(m.Value) || path[len(m.Value)] == '/')
	}
	return m.hasPrefix(path)
}

func (m *Match) hasPrefix(path string) bool {
	if len(path) < len(m.Value) {
		return false
	}
	head := path[:len(m.Value)]
	return head == m.Value || m.FoldCase && strings.EqualFold(head, m.Value)
}

// rest checks everything but the path.
func (m *Match) rest(req *stream.Request) bool {
	if m.Share != nil && !m.Share.Drawn() {
		return false
	}
	for i := range m.Headers {
		if !m.Headers[i].Holds(req) {
			return false
		}
	}
	for _, holds := range m.Metadata {
		if !holds(&req.Info.Metadata) {
			return false
		}
	}
	if m.GRPC && !isGRPC(&req.Header) || m.Certificate != nil && *m.Certificate != (req.Conn.TLS != nil && len(req.Conn.TLS.Chain) > 0) {
		return false
	}
	for i := range m.Cookies {
		if !m.Cookies[i].holds(req) {
			return false
		}
	}
	return len(m.Query) == 0 || m.query(req)
}

// isGRPC reports whether the content is gRPC's, of whatever codec: parameters of the
// type make it another one.
func isGRPC(h *stream.Header) bool {
	codec, found := strings.CutPrefix(h.Get("content-type"), "application/grpc")
	return found && (codec == "" || codec[0] == '+')
}

func (c *CookieMatch) holds(req *stream.Request) bool {
	value, found := req.Header.Cookie(c.Name)
	return (found && c.Match.Holds(value)) != c.Invert
}

// Holds compares the field; several fields of one name count as one value,
// joined by commas.
func (h *HeaderMatch) Holds(req *stream.Request) bool {
	value, present := FieldOf(req, h.Name)
	return h.holds(value, present)
}

// HoldsOfAny compares the values of several fields of one name one by one: one
// that fits is enough.
func (h *HeaderMatch) HoldsOfAny(req *stream.Request) bool {
	seen, fits := 0, false
	for i := range req.Header.Len() {
		if f := req.Header.At(i); stream.EqualName(f.Name, h.Name) {
			seen++
			fits = fits || h.Match.Holds(f.Value)
		}
	}
	if seen < 2 || h.Match.Kind == Present {
		return h.Holds(req)
	}
	return fits != h.Invert
}

// HoldsIn compares a field of a response's header.
func (h *HeaderMatch) HoldsIn(header *stream.Header) bool {
	value, present := header.Joined(h.Name)
	return h.holds(value, present)
}

func (h *HeaderMatch) holds(value string, present bool) bool {
	if h.Match.Kind == Present {
		return present != h.Invert
	}
	if !present && !h.MissingAsEmpty {
		// An absent field fails every comparison, the inverted ones too.
		return false
	}
	return h.Match.Holds(value) != h.Invert
}

// FieldOf is the value of a field, or of what a pseudo-header names; several fields
// of one name are joined.
func FieldOf(req *stream.Request, name string) (string, bool) {
	if name[0] != ':' {
		if stream.EqualName(name, "host") {
			return req.Authority, req.Authority != ""
		}
		return req.Header.Joined(name)
	}
	switch name {
	case ":method":
		return req.Method, true
	case ":path":
		return req.Path, true
	case ":authority":
		return req.Authority, true
	case ":scheme":
		return req.Scheme, true
	}
	return "", false
}

// Holds compares a value.
func (s *StringMatch) Holds(v string) bool {
	switch s.Kind {
	case Present:
		return true
	case StringRegex:
		return s.Regex.MatchString(v)
	case Range:
		n, err := strconv.ParseInt(v, 10, 64)
		return err == nil && n >= s.Low && n < s.High
	}
	want := s.Value
	if s.FoldCase {
		v, want = strings.ToLower(v), strings.ToLower(want)
	}
	switch s.Kind {
	case StringPrefix:
		return strings.HasPrefix(v, want)
	case StringSuffix:
		return strings.HasSuffix(v, want)
	case StringContains:
		return strings.Contains(v, want)
	}
	return v == want
}

func (m *Match) query(req *stream.Request) bool {
	_, raw, _ := strings.Cut(req.Path, "?")
	values, _ := url.ParseQuery(raw) // what can be read of it
	for i := range m.Query {
		got, present := values[m.Query[i].Name]
		if holds := present && m.Query[i].Match.Holds(got[0]); holds == m.Query[i].Absent {
			return false
		}
	}
	return true
}

// Holds reports whether the request matches.
func (m *Match) Holds(req *stream.Request) bool { return m.path(req, req.PathOnly()) && m.rest(req) }
