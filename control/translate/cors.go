package translate

import (
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpcors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"
)

const corsFilter = "envoy.filters.http.cors"

// cors says which origins may call from a browser.
func cors(c *networking.CorsPolicy) *httpcors.CorsPolicy {
	out := &httpcors.CorsPolicy{
		AllowMethods:  strings.Join(c.AllowMethods, ","),
		AllowHeaders:  strings.Join(c.AllowHeaders, ","),
		ExposeHeaders: strings.Join(c.ExposeHeaders, ","),
		FilterEnabled: &core.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100}},
	}
	for _, o := range c.AllowOrigins {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, stringMatch(o))
	}
	for _, o := range c.AllowOrigin { //nolint:staticcheck // users still write the old field
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch,
			&matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: o}})
	}
	if c.AllowCredentials != nil {
		out.AllowCredentials = yes(c.AllowCredentials.Value)
	}
	if c.MaxAge != nil {
		out.MaxAge = strconv.FormatInt(c.MaxAge.Seconds, 10)
	}
	switch c.UnmatchedPreflights {
	case networking.CorsPolicy_FORWARD:
		out.ForwardNotMatchingPreflights = yes(true)
	case networking.CorsPolicy_IGNORE:
		out.ForwardNotMatchingPreflights = yes(false)
	}
	return out
}
