package compile

import (
	"cmp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/cors"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// corsFilter compiles the policy of a route: what it leaves open its host's says. Policies
// beside the filters' settings are in force where those have none.
func (c *Compiler) corsFilter(_ proto.Message, on *spot) (stream.Filter, error) {
	levels := on.cors
	if len(on.levels) > 0 {
		levels = nil
	}
	for _, each := range on.levels {
		m, ok := each.(*corsv3.CorsPolicy)
		if !ok {
			return nil, fieldcheck.Refuse("", "is not a CorsPolicy")
		}
		levels = append(levels, m)
	}
	if len(levels) == 0 {
		return nil, nil
	}
	share := runtime.All
	if e := levels[0].GetFilterEnabled(); e != nil {
		share = c.share(e)
	}
	if share.Never() || on.forward == nil { // in Envoy, too, what goes upstream alone has a policy
		return nil, nil
	}
	origin, err := origins(levels)
	if err != nil {
		return nil, fieldcheck.At("allow_origin_string_match", err)
	}
	first := func(field func(*corsv3.CorsPolicy) string) (value string) {
		for _, m := range levels {
			value = cmp.Or(value, field(m))
		}
		return value
	}
	told := func(field func(*corsv3.CorsPolicy) *wrapperspb.BoolValue, unset bool) bool {
		for _, m := range levels {
			if v := field(m); v != nil {
				return v.GetValue()
			}
		}
		return unset
	}
	return &cors.Filter{
		Enabled: share, Valid: on.count("cors.origin_valid"), Invalid: on.count("cors.origin_invalid"),
		Origin:  origin,
		Methods: first((*corsv3.CorsPolicy).GetAllowMethods), Headers: first((*corsv3.CorsPolicy).GetAllowHeaders), Expose: first((*corsv3.CorsPolicy).GetExposeHeaders),
		MaxAge: strings.TrimSpace(first((*corsv3.CorsPolicy).GetMaxAge)), Credentials: told((*corsv3.CorsPolicy).GetAllowCredentials, false),
		PrivateNetwork: told((*corsv3.CorsPolicy).GetAllowPrivateNetworkAccess, false), ForwardOther: told((*corsv3.CorsPolicy).GetForwardNotMatchingPreflights, true),
	}, nil
}

// origins compiles which origins may read: those that the innermost level names that
// names any. A comparison that holds of "*" is one with any origin.
func origins(levels []*corsv3.CorsPolicy) (func(string) bool, error) {
	var list []*matcherv3.StringMatcher
	for _, m := range levels {
		if list = m.GetAllowOriginStringMatch(); len(list) > 0 {
			break
		}
	}
	var matches []route.StringMatch
	for _, m := range list {
		s, err := stringMatch(m)
		if err != nil {
			return nil, err
		}
		if s.Holds("*") {
			return func(string) bool { return true }, nil
		}
		matches = append(matches, s)
	}
	return func(v string) bool {
		return slices.ContainsFunc(matches, func(s route.StringMatch) bool { return s.Holds(v) })
	}, nil
}

// corsBeside are the policies that stand beside the filters' settings, the innermost
// first: where they stood before filters had settings for routes.
func corsBeside(route *routev3.RouteAction, vh *routev3.VirtualHost) []*corsv3.CorsPolicy {
	var out []*corsv3.CorsPolicy
	for _, m := range []*routev3.CorsPolicy{route.GetCors(), vh.GetCors()} { //nolint:staticcheck // still written
		if m == nil {
			continue
		}
		out = append(out, &corsv3.CorsPolicy{
			AllowOriginStringMatch: m.GetAllowOriginStringMatch(), AllowMethods: m.GetAllowMethods(), AllowHeaders: m.GetAllowHeaders(), ExposeHeaders: m.GetExposeHeaders(),
			MaxAge: m.GetMaxAge(), AllowCredentials: m.GetAllowCredentials(), FilterEnabled: m.GetFilterEnabled(), AllowPrivateNetworkAccess: m.GetAllowPrivateNetworkAccess(),
			ForwardNotMatchingPreflights: m.GetForwardNotMatchingPreflights(),
		})
	}
	return out
}
