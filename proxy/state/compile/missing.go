package compile

import (
	"fmt"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// Missing refuses a listener with a route, in a route configuration that is written in it,
// to a cluster that is not known. A configuration may say that its clusters come later, and
// one that is discovered is not looked at.
func Missing(m *listenerv3.Listener, known func(cluster string) bool) error {
	chains := m.GetFilterChains()
	for i, chain := range chains {
		if err := missingOfChain(chain, known); err != nil {
			return fieldcheck.At(fmt.Sprintf("filter_chains[%d]", i), err)
		}
	}
	return fieldcheck.At("default_filter_chain", missingOfChain(m.GetDefaultFilterChain(), known))
}

func missingOfChain(m *listenerv3.FilterChain, known func(string) bool) error {
	for i, f := range m.GetFilters() {
		at := fmt.Sprintf("filters[%d].typed_config", i)
		opened, err := unpack(f.GetTypedConfig())
		if err != nil {
			return fieldcheck.At(at, err)
		}
		manager, ok := opened.(*hcmv3.HttpConnectionManager)
		if !ok {
			continue
		}
		table := manager.GetRouteConfig()
		if v := table.GetValidateClusters(); v != nil && !v.GetValue() {
			continue
		}
		for j, vh := range table.GetVirtualHosts() {
			if err := missingOfHost(vh, table, known); err != nil {
				return fieldcheck.At(fmt.Sprintf("%s.route_config.virtual_hosts[%d]", at, j), err)
			}
		}
	}
	return nil
}

func missingOfHost(vh *routev3.VirtualHost, table *routev3.RouteConfiguration, known func(string) bool) error {
	for i, r := range vh.GetRoutes() {
		for _, c := range clustersOf(r.GetRoute(), vh, table) {
			if c.name != "" && !known(c.name) {
				return fieldcheck.Refuse(fmt.Sprintf("routes[%d].%s", i, c.at), "route %q goes to cluster %q, which is not in static_resources.clusters: add it there, or set validate_clusters of the route configuration to false where it comes later", r.GetName(), c.name)
			}
		}
	}
	return nil
}

// named is a cluster that a route names, and where.
type named struct{ name, at string }

// clustersOf are the clusters that an action names; empty where it names none.
func clustersOf(a *routev3.RouteAction, vh *routev3.VirtualHost, table *routev3.RouteConfiguration) []named {
	out := []named{{a.GetCluster(), "route.cluster"}}
	for i, w := range a.GetWeightedClusters().GetClusters() {
		out = append(out, named{w.GetName(), fmt.Sprintf("route.weighted_clusters.clusters[%d].name", i)})
	}
	for i, m := range mirrorsOf(a, vh, table) {
		out = append(out, named{m.GetCluster(), fmt.Sprintf("route.request_mirror_policies[%d].cluster", i)})
	}
	return out
}

// mirrorsOf are the mirrors of an action: its own, else those of its host, else those of
// the table.
func mirrorsOf(a *routev3.RouteAction, vh *routev3.VirtualHost, table *routev3.RouteConfiguration) []*routev3.RouteAction_RequestMirrorPolicy {
	switch {
	case a == nil:
		return nil
	case len(a.GetRequestMirrorPolicies()) > 0:
		return a.GetRequestMirrorPolicies()
	case len(vh.GetRequestMirrorPolicies()) > 0:
		return vh.GetRequestMirrorPolicies()
	}
	return table.GetRequestMirrorPolicies()
}
