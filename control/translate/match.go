package translate

import (
	"slices"
	"strings"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// claimsPrefix begins a header name that stands for a claim of the caller's
// token.
const claimsPrefix = "@request.auth.claims"

// routeMatch translates the conditions that are checked per request.
func routeMatch(m *networking.HTTPMatchRequest) *route.RouteMatch {
	out := &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
	if m == nil {
		return out
	}
	switch u := m.GetUri().GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		out.PathSpecifier = &route.RouteMatch_Path{Path: u.Exact}
	case *networking.StringMatch_Prefix:
		out.PathSpecifier = &route.RouteMatch_Prefix{Prefix: u.Prefix}
	case *networking.StringMatch_Regex:
		out.PathSpecifier = &route.RouteMatch_SafeRegex{SafeRegex: regex(u.Regex)}
	}
	out.CaseSensitive = yes(!m.IgnoreUriCase)
	for _, name := range slices.Sorted(mapKeys(m.Headers)) {
		if strings.HasPrefix(name, claimsPrefix) {
			out.DynamicMetadata = append(out.DynamicMetadata, claimMatch(name, m.Headers[name], false))
			continue
		}
		out.Headers = append(out.Headers, headerMatch(name, m.Headers[name]))
	}
	for _, name := range slices.Sorted(mapKeys(m.WithoutHeaders)) {
		if strings.HasPrefix(name, claimsPrefix) {
			out.DynamicMetadata = append(out.DynamicMetadata, claimMatch(name, m.WithoutHeaders[name], true))
			continue
		}
		out.Headers = append(out.Headers, without(headerMatch(name, m.WithoutHeaders[name])))
	}
	for _, pseudo := range []struct {
		name  string
		match *networking.StringMatch
	}{{":method", m.Method}, {":authority", m.Authority}, {":scheme", m.Scheme}} {
		if pseudo.match != nil {
			out.Headers = append(out.Headers, headerMatch(pseudo.name, pseudo.match))
		}
	}
	for _, name := range slices.Sorted(mapKeys(m.QueryParams)) {
		out.QueryParameters = append(out.QueryParameters, queryMatch(name, m.QueryParams[name]))
	}
	return out
}

// catchAll reports whether every request matches.
func catchAll(m *route.RouteMatch) bool {
	if len(m.Headers) > 0 || len(m.QueryParameters) > 0 || len(m.DynamicMetadata) > 0 {
		return false
	}
	return m.GetPrefix() == "/" || m.GetSafeRegex().GetRegex() == ".*"
}

// present reports whether a match asks only that something is there.
func present(m *networking.StringMatch) bool {
	switch t := m.GetMatchType().(type) {
	case nil:
		return true
	case *networking.StringMatch_Exact:
		return t.Exact == ""
	case *networking.StringMatch_Prefix:
		return t.Prefix == ""
	case *networking.StringMatch_Regex:
		return t.Regex == "*" || t.Regex == ""
	}
	return false
}

func stringMatch(m *networking.StringMatch) *matcher.StringMatcher {
	switch t := m.GetMatchType().(type) {
	case *networking.StringMatch_Prefix:
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: t.Prefix}}
	case *networking.StringMatch_Regex:
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(t.Regex)}}
	}
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: m.GetExact()}}
}

func headerMatch(name string, m *networking.StringMatch) *route.HeaderMatcher {
	if present(m) {
		return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_PresentMatch{PresentMatch: true}}
	}
	return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: stringMatch(m)}}
}

// without turns a condition into its opposite; a missing header then fulfils
// it.
func without(h *route.HeaderMatcher) *route.HeaderMatcher {
	h.InvertMatch = true
	h.TreatMissingHeaderAsEmpty = !h.GetPresentMatch()
	return h
}

func queryMatch(name string, m *networking.StringMatch) *route.QueryParameterMatcher {
	if present(m) {
		return &route.QueryParameterMatcher{Name: name,
			QueryParameterMatchSpecifier: &route.QueryParameterMatcher_PresentMatch{PresentMatch: true}}
	}
	return &route.QueryParameterMatcher{Name: name,
		QueryParameterMatchSpecifier: &route.QueryParameterMatcher_StringMatch{StringMatch: stringMatch(m)}}
}

// claimMatch matches a claim of the verified token, which may be a string or
// a list of them: "@request.auth.claims.a.b" or "@request.auth.claims[a][b]".
func claimMatch(name string, m *networking.StringMatch, invert bool) *matcher.MetadataMatcher {
	rest := strings.TrimPrefix(name, claimsPrefix)
	var claims []string
	if strings.HasPrefix(rest, "[") {
		claims = strings.Split(strings.Trim(rest, "[]"), "][")
	} else {
		claims = strings.Split(strings.TrimPrefix(rest, "."), ".")
	}
	path := []*matcher.MetadataMatcher_PathSegment{{Segment: &matcher.MetadataMatcher_PathSegment_Key{Key: "payload"}}}
	for _, c := range claims {
		path = append(path, &matcher.MetadataMatcher_PathSegment{Segment: &matcher.MetadataMatcher_PathSegment_Key{Key: c}})
	}
	one := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_StringMatch{StringMatch: stringMatch(m)}}
	list := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_ListMatch{ListMatch: &matcher.ListMatcher{
		MatchPattern: &matcher.ListMatcher_OneOf{OneOf: one}}}}
	return &matcher.MetadataMatcher{
		Filter: "envoy.filters.http.jwt_authn", Path: path, Invert: invert,
		Value: &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_OrMatch{
			OrMatch: &matcher.OrMatcher{ValueMatchers: []*matcher.ValueMatcher{one, list}}}},
	}
}

func regex(re string) *matcher.RegexMatcher { return &matcher.RegexMatcher{Regex: re} }
