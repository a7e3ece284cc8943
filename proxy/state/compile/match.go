package compile

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func (c *Compiler) match(m *routev3.RouteMatch) (route.Match, error) {
	out := route.Match{FoldCase: m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue()}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		out.Path, out.Value = route.Prefix, p.Prefix
	case *routev3.RouteMatch_Path:
		out.Path, out.Value = route.Exact, p.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out.Path, out.Value = route.SeparatedPrefix, p.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		re, err := whole(p.SafeRegex.GetRegex(), false)
		if err != nil {
			return out, fieldcheck.At("safe_regex", err)
		}
		out.Path, out.Value, out.Regex = route.Regex, p.SafeRegex.GetRegex(), re
	case *routev3.RouteMatch_PathMatchPolicy:
		re, err := uriTemplate(p.PathMatchPolicy)
		if err != nil {
			return out, fieldcheck.At("path_match_policy", err)
		}
		out.Path, out.Value, out.Regex, out.Template = route.Regex, re.String(), re, true
	case *routev3.RouteMatch_ConnectMatcher_:
		out.Path = route.AnyConnect
	default:
		return out, fieldcheck.Refuse("", "names no path: write prefix, path, path_separated_prefix, safe_regex or path_match_policy")
	}
	if f := m.GetRuntimeFraction(); f != nil {
		share := c.share(f)
		out.Share = &share
	}
	var err error
	if out.Headers, err = headerMatches(m.GetHeaders(), "headers"); err != nil {
		return out, err
	}
	if out.Query, err = queryMatches(m.GetQueryParameters(), "query_parameters"); err != nil {
		return out, err
	}
	if out.Cookies, err = cookieMatches(m.GetCookies()); err != nil {
		return out, err
	}
	out.GRPC = m.GetGrpc() != nil
	out.Certificate = truth(m.GetTlsContext().GetPresented())
	for i, d := range m.GetDynamicMetadata() {
		holds, err := metadataHolds(d)
		if err != nil {
			return out, fieldcheck.At(fmt.Sprintf("dynamic_metadata[%d]", i), err)
		}
		out.Metadata = append(out.Metadata, holds)
	}
	return out, nil
}

// headerMatches compiles a list of comparisons of header fields.
func headerMatches(list []*routev3.HeaderMatcher, at string) ([]route.HeaderMatch, error) {
	var out []route.HeaderMatch
	for i, h := range list {
		m, err := headerMatch(h)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("%s[%d]", at, i), err)
		}
		out = append(out, m)
	}
	return out, nil
}

// allHold reports of requests whether all comparisons hold.
func allHold(matches []route.HeaderMatch) func(*stream.Request) bool {
	return func(req *stream.Request) bool {
		return !slices.ContainsFunc(matches, func(h route.HeaderMatch) bool { return !h.Holds(req) })
	}
}

// queryMatches compiles a list of comparisons of query parameters.
func queryMatches(list []*routev3.QueryParameterMatcher, at string) ([]route.QueryMatch, error) {
	var out []route.QueryMatch
	for i, q := range list {
		m := route.QueryMatch{Name: q.GetName(), Match: route.StringMatch{Kind: route.Present}}
		if p, ok := q.GetQueryParameterMatchSpecifier().(*routev3.QueryParameterMatcher_PresentMatch); ok {
			m.Absent = !p.PresentMatch
		}
		if s := q.GetStringMatch(); s != nil {
			var err error
			if m.Match, err = stringMatch(s); err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("%s[%d].string_match", at, i), err)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// truth is what a wrapped value says; nil is nothing.
func truth(v *wrapperspb.BoolValue) *bool {
	if v == nil {
		return nil
	}
	said := v.GetValue()
	return &said
}

// cookieMatches compiles a list of comparisons of cookies.
func cookieMatches(list []*routev3.CookieMatcher) ([]route.CookieMatch, error) {
	var out []route.CookieMatch
	for i, m := range list {
		match, err := stringMatch(m.GetStringMatch())
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("cookies[%d].string_match", i), err)
		}
		out = append(out, route.CookieMatch{Name: m.GetName(), Match: match, Invert: m.GetInvertMatch()})
	}
	return out, nil
}

//nolint:staticcheck // the deprecated forms are still written
func headerMatch(h *routev3.HeaderMatcher) (route.HeaderMatch, error) {
	out := route.HeaderMatch{Name: strings.ToLower(h.GetName()), Invert: h.GetInvertMatch(), MissingAsEmpty: h.GetTreatMissingHeaderAsEmpty()}
	var err error
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case nil:
		out.Match.Kind = route.Present
	case *routev3.HeaderMatcher_PresentMatch:
		out.Match.Kind = route.Present
		out.Invert = out.Invert != !s.PresentMatch
	case *routev3.HeaderMatcher_StringMatch:
		out.Match, err = stringMatch(s.StringMatch)
	case *routev3.HeaderMatcher_ExactMatch:
		out.Match = route.StringMatch{Kind: route.StringExact, Value: s.ExactMatch}
	case *routev3.HeaderMatcher_PrefixMatch:
		out.Match = route.StringMatch{Kind: route.StringPrefix, Value: s.PrefixMatch}
	case *routev3.HeaderMatcher_SuffixMatch:
		out.Match = route.StringMatch{Kind: route.StringSuffix, Value: s.SuffixMatch}
	case *routev3.HeaderMatcher_ContainsMatch:
		out.Match = route.StringMatch{Kind: route.StringContains, Value: s.ContainsMatch}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		out.Match.Kind = route.StringRegex
		out.Match.Regex, err = whole(s.SafeRegexMatch.GetRegex(), false)
	case *routev3.HeaderMatcher_RangeMatch:
		out.Match = route.StringMatch{Kind: route.Range, Low: s.RangeMatch.GetStart(), High: s.RangeMatch.GetEnd()}
	default:
		err = fieldcheck.Refuse("", "is of a kind that is not supported")
	}
	return out, err
}

func stringMatch(m *matcherv3.StringMatcher) (route.StringMatch, error) {
	out := route.StringMatch{FoldCase: m.GetIgnoreCase()}
	var err error
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		out.Kind, out.Value = route.StringExact, p.Exact
	case *matcherv3.StringMatcher_Prefix:
		out.Kind, out.Value = route.StringPrefix, p.Prefix
	case *matcherv3.StringMatcher_Suffix:
		out.Kind, out.Value = route.StringSuffix, p.Suffix
	case *matcherv3.StringMatcher_Contains:
		out.Kind, out.Value = route.StringContains, p.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		out.Kind = route.StringRegex
		out.Regex, err = whole(p.SafeRegex.GetRegex(), m.GetIgnoreCase())
	default:
		err = fieldcheck.Refuse("", "names no pattern")
	}
	return out, err
}

// whole compiles an expression that has to match all of a text.
func whole(expression string, fold bool) (*regexp.Regexp, error) {
	flags := ""
	if fold {
		flags = "(?i)"
	}
	if _, err := regexp.Compile(expression); err != nil { // by itself: a parenthesis must not end ours
		return nil, fieldcheck.Refuse("regex", "%v", err)
	}
	re, err := regexp.Compile(flags + `^(?:` + expression + `)$`)
	if err != nil {
		return nil, fieldcheck.Refuse("regex", "%v", err)
	}
	return re, nil
}

// share is a share of requests that a key in the runtime may change.
func (c *Compiler) share(p *corev3.RuntimeFractionalPercent) runtime.Share {
	return runtime.Share{PerMillion: perMillion(p.GetDefaultValue()), Key: c.Runtime.Key(p.GetRuntimeKey())}
}

// flag is a switch that a key in the runtime may turn.
func (c *Compiler) flag(p *corev3.RuntimeFeatureFlag) runtime.Flag {
	return runtime.Flag{On: p.GetDefaultValue().GetValue(), Key: c.Runtime.Key(p.GetRuntimeKey())}
}

func perMillion(p *typev3.FractionalPercent) uint32 {
	all := denominator(p)
	return min(p.GetNumerator(), all) * (1_000_000 / all)
}

// denominator is of how many the numerator tells.
func denominator(p *typev3.FractionalPercent) uint32 {
	switch p.GetDenominator() {
	case typev3.FractionalPercent_HUNDRED:
		return 100
	case typev3.FractionalPercent_TEN_THOUSAND:
		return 10_000
	default:
		return 1_000_000
	}
}

// text reads a data source that is text.
func text(d *corev3.DataSource) (string, error) {
	switch s := d.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		return s.InlineString, nil
	case *corev3.DataSource_InlineBytes:
		return string(s.InlineBytes), nil
	case *corev3.DataSource_Filename:
		body, err := os.ReadFile(s.Filename)
		return string(body), err
	default:
		return "", nil
	}
}
