package translate

import (
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

// hashPolicy says what of a request binds it to an endpoint; nil when the
// destination's rule does not ask for consistent hashing.
func hashPolicy(m *mesh.Config, rule *mesh.DestinationRule, subset string, port uint32) []*route.RouteAction_HashPolicy {
	ch := effectivePolicy(m, rule, subset, port).GetLoadBalancer().GetConsistentHash()
	out := &route.RouteAction_HashPolicy{}
	switch key := ch.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		out.PolicySpecifier = &route.RouteAction_HashPolicy_Header_{
			Header: &route.RouteAction_HashPolicy_Header{HeaderName: key.HttpHeaderName}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		cookie := &route.RouteAction_HashPolicy_Cookie{Name: key.HttpCookie.Name, Path: key.HttpCookie.Path, Ttl: key.HttpCookie.Ttl}
		for _, a := range key.HttpCookie.Attributes {
			cookie.Attributes = append(cookie.Attributes, &route.RouteAction_HashPolicy_CookieAttribute{Name: a.Name, Value: a.Value})
		}
		out.PolicySpecifier = &route.RouteAction_HashPolicy_Cookie_{Cookie: cookie}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		out.PolicySpecifier = &route.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &route.RouteAction_HashPolicy_ConnectionProperties{SourceIp: key.UseSourceIp}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		out.PolicySpecifier = &route.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &route.RouteAction_HashPolicy_QueryParameter{Name: key.HttpQueryParameterName}}
	default:
		return nil
	}
	return []*route.RouteAction_HashPolicy{out}
}
