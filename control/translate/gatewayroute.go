package translate

import (
	"fmt"
	"slices"

	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// GatewayRoutes are the routes of a gateway's HTTP and HTTPS servers, in the
// order of their names. VirtualServices for one host on one server are
// merged: their routes follow each other oldest first, with those that take
// everything at the end.
func GatewayRoutes(in GatewayInput) []*route.RouteConfiguration {
	byName := map[string]*gatewayRoute{}
	served, _ := servers(in)
	for _, s := range served {
		if s.kind != plainRequests && s.kind != tlsRequests {
			continue
		}
		name := s.routeName()
		if byName[name] == nil {
			byName[name] = &gatewayRoute{name: name, first: s, hosts: map[string]*route.VirtualHost{}, merged: map[string]bool{}}
		}
		byName[name].add(in, s)
	}
	var out []*route.RouteConfiguration
	for _, name := range slices.Sorted(mapKeys(byName)) {
		out = append(out, byName[name].configuration())
	}
	return out
}

// gatewayRoute gathers the virtual hosts of one route.
type gatewayRoute struct {
	name  string
	first server
	hosts map[string]*route.VirtualHost
	// merged are the pairs of host and VirtualService that are in already.
	merged map[string]bool
}

// add brings a server's rules in.
func (g *gatewayRoute) add(in GatewayInput, s server) {
	for _, rule := range s.rules(in) {
		routes := httpRoutes(rule)
		if len(routes) == 0 {
			continue
		}
		for _, host := range s.hostsFor(rule.VirtualService) {
			key := host + " " + rule.VirtualService.Meta.String()
			if g.merged[key] {
				continue
			}
			g.merged[key] = true
			h := g.host(host, s)
			h.Routes = append(h.Routes, routes...)
		}
	}
	if s.spec.GetTls().GetHttpsRedirect() {
		for _, host := range serverHosts(s.spec) {
			g.host(host, s)
		}
	}
}

// host finds or makes the virtual host for a name.
func (g *gatewayRoute) host(name string, s server) *route.VirtualHost {
	h := g.hosts[name]
	if h == nil {
		h = &route.VirtualHost{
			Name:                       fmt.Sprintf("%s:%d", name, s.spec.GetPort().GetNumber()),
			Domains:                    []string{name},
			IncludeRequestAttemptCount: true,
		}
		g.hosts[name] = h
	}
	if s.spec.GetTls().GetHttpsRedirect() {
		h.RequireTls = route.VirtualHost_ALL
	}
	return h
}

// configuration assembles the route. With no rule at all, every request is
// answered by 404.
func (g *gatewayRoute) configuration() *route.RouteConfiguration {
	out := &route.RouteConfiguration{
		Name:                           g.name,
		ValidateClusters:               yes(false),
		MaxDirectResponseBodySizeBytes: u32(maxDirectBody),
		IgnorePortInHostMatching:       true,
	}
	var hosts []*route.VirtualHost
	for _, name := range slices.Sorted(mapKeys(g.hosts)) {
		h := g.hosts[name]
		slices.SortStableFunc(h.Routes, func(a, b *route.Route) int { return last(a) - last(b) })
		hosts = append(hosts, h)
	}
	if len(hosts) == 0 {
		hosts = append(hosts, &route.VirtualHost{
			Name:    fmt.Sprintf("blackhole:%d", g.first.spec.GetPort().GetNumber()),
			Domains: []string{"*"},
			Routes: []*route.Route{{
				Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{Status: 404}},
			}},
		})
	}
	out.VirtualHosts = distinct(hosts)
	return out
}

// last is 1 for routes that take everything.
func last(r *route.Route) int {
	if catchAll(r.Match) {
		return 1
	}
	return 0
}
