// Package metadata leaves facts about a request for later filters and the log:
// fixed ones (Set), what header fields say (FromHeaders), and strings that are
// made of anything that a log may tell (State). It stands before whatever reads
// them.
package metadata

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Set leaves fixed facts.
type Set []Fact

// Fact is what is left in one namespace.
type Fact struct {
	Namespace string
	Values    map[string]any
	// Keep leaves what is there already as it is, instead of merging.
	Keep bool
}

// Handle implements [stream.Filter].
func (s Set) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	for _, f := range s {
		if f.Keep && req.Info.Metadata.Namespace(f.Namespace) != nil {
			continue
		}
		for key, value := range f.Values {
			have, _ := req.Info.Metadata.Get(f.Namespace, key)
			req.Info.Metadata.Set(f.Namespace, key, merged(have, value))
		}
	}
	return next.Handle(req)
}

// merged puts a value over one that is there, as Envoy does: objects key by key,
// lists one behind the other.
func merged(under, over any) any {
	switch o := over.(type) {
	case map[string]any:
		u, ok := under.(map[string]any)
		if !ok {
			return over
		}
		out := map[string]any{}
		for k, v := range u {
			out[k] = v
		}
		for k, v := range o {
			out[k] = merged(out[k], v)
		}
		return out
	case []any:
		if u, ok := under.([]any); ok {
			return append(append([]any{}, u...), o...)
		}
	}
	return over
}

// FromHeaders leaves what fields say.
type FromHeaders struct{ Request, Response []Rule }

// Rule is one field or cookie, and what is left of it.
type Rule struct {
	Header, Cookie string // one of them
	// Present and Missing are what is left when it is there, and when it is not;
	// nil is nothing.
	Present, Missing *Target
	// Remove takes the field off.
	Remove bool
}

// Target is where and how a value is left.
type Target struct {
	Namespace, Key string
	// Value replaces the field's; Pattern changes it.
	Value        string
	Pattern      *regexp.Regexp
	Substitution string
	Number       bool // leave it as a number
	Base64       bool // it is in base64
}

// Default is the namespace where none is named.
const Default = "envoy.filters.http.header_to_metadata"

// Handle implements [stream.Filter].
func (f *FromHeaders) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	for i := range f.Request {
		f.Request[i].apply(&req.Info.Metadata, &req.Header)
	}
	resp, err := next.Handle(req)
	if err == nil {
		for i := range f.Response {
			f.Response[i].apply(&req.Info.Metadata, &resp.Header)
		}
	}
	return resp, err
}

func (r *Rule) apply(m *stream.Metadata, h *stream.Header) {
	value, found := "", false
	if r.Cookie != "" {
		value, found = h.Cookie(r.Cookie)
	} else {
		value, found = h.Joined(r.Header)
	}
	switch {
	case found && r.Present != nil:
		r.Present.leave(m, value)
	case !found && r.Missing != nil:
		r.Missing.leave(m, "")
	}
	if found && r.Remove && r.Header != "" {
		h.Del(r.Header)
	}
}

func (t *Target) leave(m *stream.Metadata, value string) {
	if t.Value != "" {
		value = t.Value
	} else if t.Pattern != nil {
		value = t.Pattern.ReplaceAllString(value, t.Substitution)
	}
	if t.Base64 {
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return
		}
		value = string(plain)
	}
	if value == "" {
		return
	}
	if t.Number {
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			m.Set(t.Namespace, t.Key, n)
		}
		return
	}
	m.Set(t.Namespace, t.Key, strings.Clone(value))
}

var (
	_ stream.Filter = Set{}
	_ stream.Filter = (*FromHeaders)(nil)
)
