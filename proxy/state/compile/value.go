package compile

import (
	"fmt"

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
