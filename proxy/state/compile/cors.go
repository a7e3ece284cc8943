package compile

import (
	"cmp"
	"slices"
	"strings"

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

// corsFilter compiles the policy of a route: what it leaves open its host's says.
func (c *Compiler) corsFilter(_ proto.Message, on *spot) (stream.Filter, error) {
	var levels []*corsv3.CorsPolicy
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
	var origins []route.StringMatch
	for _, o := range corsOrigins(levels) {
		s, err := stringMatch(o)
		if err != nil {
			return nil, fieldcheck.At("allow_origin_string_match", err)
		}
		origins = append(origins, s)
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
		Origin: func(v string) bool {
			return slices.ContainsFunc(origins, func(s route.StringMatch) bool {
				return s.Kind == route.StringExact && s.Value == "*" || s.Holds(v)
			})
		},
		Methods: first((*corsv3.CorsPolicy).GetAllowMethods), Headers: first((*corsv3.CorsPolicy).GetAllowHeaders), Expose: first((*corsv3.CorsPolicy).GetExposeHeaders),
		MaxAge: strings.TrimSpace(first((*corsv3.CorsPolicy).GetMaxAge)), Credentials: told((*corsv3.CorsPolicy).GetAllowCredentials, false),
		PrivateNetwork: told((*corsv3.CorsPolicy).GetAllowPrivateNetworkAccess, false), ForwardOther: told((*corsv3.CorsPolicy).GetForwardNotMatchingPreflights, true),
	}, nil
}

func corsOrigins(levels []*corsv3.CorsPolicy) []*matcherv3.StringMatcher {
	for _, m := range levels {
		if o := m.GetAllowOriginStringMatch(); len(o) > 0 {
			return o
		}
	}
	return nil
}
