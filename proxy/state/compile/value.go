package compile

import (
	"fmt"
	"regexp"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// metadataHolds compiles a condition on what filters have left about a request.
func metadataHolds(m *matcherv3.MetadataMatcher) (func(*stream.Metadata) bool, error) {
	var path []string
	for _, s := range m.GetPath() {
		path = append(path, s.GetKey())
	}
	holds, err := valueTest(m.GetValue())
	return func(left *stream.Metadata) bool {
		value, found := left.Get(m.GetFilter(), path...)
		return (found && holds(value)) != m.GetInvert()
	}, fieldcheck.At("value", err)
}

// valueTest compiles a condition on a JSON value, as filters leave them in a
// request's metadata.
func valueTest(m *matcherv3.ValueMatcher) (func(any) bool, error) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		return func(v any) bool { return v == nil }, nil
	case *matcherv3.ValueMatcher_PresentMatch:
		return func(v any) bool { return (v != nil) == p.PresentMatch }, nil
	case *matcherv3.ValueMatcher_BoolMatch:
		return func(v any) bool { b, ok := v.(bool); return ok && b == p.BoolMatch }, nil
	case *matcherv3.ValueMatcher_DoubleMatch:
		return numberTest(p.DoubleMatch)
	case *matcherv3.ValueMatcher_StringMatch:
		match, err := stringMatch(p.StringMatch)
		return func(v any) bool { s, ok := v.(string); return ok && match.Holds(s) }, fieldcheck.At("string_match", err)
	case *matcherv3.ValueMatcher_ListMatch:
		one, err := valueTest(p.ListMatch.GetOneOf())
		return func(v any) bool { return oneOf(v, one) }, fieldcheck.At("list_match.one_of", err)
	case *matcherv3.ValueMatcher_OrMatch:
		return eitherTest(p.OrMatch)
	default:
		return nil, fieldcheck.Refuse("", "names no pattern")
	}
}

func numberTest(m *matcherv3.DoubleMatcher) (func(any) bool, error) {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.DoubleMatcher_Exact:
		return func(v any) bool { n, ok := v.(float64); return ok && n == p.Exact }, nil
	case *matcherv3.DoubleMatcher_Range:
		return func(v any) bool { n, ok := v.(float64); return ok && n >= p.Range.GetStart() && n < p.Range.GetEnd() }, nil
	default:
		return nil, fieldcheck.Refuse("double_match", "names no pattern")
	}
}

func oneOf(v any, holds func(any) bool) bool {
	list, _ := v.([]any)
	for _, each := range list {
		if holds(each) {
			return true
		}
	}
	return false
}

func eitherTest(m *matcherv3.OrMatcher) (func(any) bool, error) {
	var tests []func(any) bool
	for i, each := range m.GetValueMatchers() {
		t, err := valueTest(each)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("or_match.value_matchers[%d]", i), err)
		}
		tests = append(tests, t)
	}
	return func(v any) bool {
		for _, t := range tests {
			if t(v) {
				return true
			}
		}
		return false
	}, nil
}

// templateSegment is one segment of a URI template: a literal, "*", "**", or a
// variable "{name}" or "{name=pattern}".
var templateSegment = regexp.MustCompile(`^(?:\*\*|\*|\{[A-Za-z][A-Za-z0-9_]*(?:=[^{}]*)?\}|[A-Za-z0-9\-._~%!$&'()+,;:@=]*)$`)

// templateExpression compiles a URI template (Envoy's uri_template matcher) to
// an expression for the whole path: "*" is one segment, "**" is any number.
func templateExpression(template string) (*regexp.Regexp, error) {
	if !strings.HasPrefix(template, "/") {
		return nil, fieldcheck.Refuse("", "%q does not begin with a slash", template)
	}
	var out strings.Builder
	rest := template[1:]
	for rest != "" || out.Len() == 0 {
		segment, next := cutSegment(rest)
		rest = next
		if !templateSegment.MatchString(segment) {
			return nil, fieldcheck.Refuse("", "%q is not a segment of a URI template", segment)
		}
		out.WriteString("/" + segmentExpression(segment))
		if rest == "" {
			break
		}
	}
	return whole(out.String(), false)
}

// cutSegment cuts at the first slash that is not inside braces.
func cutSegment(s string) (segment, rest string) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '/':
			if depth == 0 {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

func segmentExpression(segment string) string {
	switch {
	case segment == "*":
		return "[^/]+"
	case segment == "**":
		return ".*"
	case strings.HasPrefix(segment, "{"):
		name, pattern, found := strings.Cut(segment[1:len(segment)-1], "=")
		if !found {
			pattern = "*"
		}
		var parts []string
		for _, p := range strings.Split(pattern, "/") {
			parts = append(parts, segmentExpression(p))
		}
		return "(?P<" + name + ">" + strings.Join(parts, "/") + ")"
	}
	return regexp.QuoteMeta(segment)
}
