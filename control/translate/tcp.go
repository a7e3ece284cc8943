package translate

import (
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

// tcpProxy carries the bytes of a connection to a cluster.
func tcpProxy(m *mesh.Config, cluster string, policy *networking.TrafficPolicy) *listener.Filter {
	p := &tcpproxy.TcpProxy{
		StatPrefix:       cluster,
		ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: cluster},
		AccessLog:        accessLog(m), //nolint:staticcheck // the successor is not in Istio's proxies yet
	}
	tcpPolicy(p, policy)
	return networkFilter("envoy.filters.network.tcp_proxy", p)
}

// tcpPolicy applies what of a traffic policy concerns client connections.
func tcpPolicy(p *tcpproxy.TcpProxy, policy *networking.TrafficPolicy) {
	pool := policy.GetConnectionPool().GetTcp()
	p.IdleTimeout = pool.GetIdleTimeout()
	p.MaxDownstreamConnectionDuration = pool.GetMaxConnectionDuration()
	if policy.GetLoadBalancer().GetConsistentHash().GetUseSourceIp() {
		p.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
}

// tcpRoute carries a connection to one of a rule's destinations, by weight.
// It is nil when the rule has none with a weight.
func tcpRoute(in routeInput, dests []*networking.RouteDestination) *listener.Filter {
	policy := func(d *networking.Destination) *networking.TrafficPolicy {
		_, port := in.resolve(d)
		return effectivePolicy(in.Mesh, in.Destinations[plainHost(d.GetHost())].Rule, d.GetSubset(), port)
	}
	if len(dests) == 1 {
		return tcpProxy(in.Mesh, in.cluster(dests[0].Destination), policy(dests[0].Destination))
	}
	weighted := &tcpproxy.TcpProxy_WeightedCluster{}
	var one *networking.Destination
	for _, d := range dests {
		if d.Weight > 0 {
			one = d.Destination
			weighted.Clusters = append(weighted.Clusters, &tcpproxy.TcpProxy_WeightedCluster_ClusterWeight{
				Name: in.cluster(d.Destination), Weight: uint32(d.Weight)})
		}
	}
	if one == nil {
		return nil
	}
	p := &tcpproxy.TcpProxy{
		StatPrefix:       weighted.Clusters[0].Name,
		ClusterSpecifier: &tcpproxy.TcpProxy_WeightedClusters{WeightedClusters: weighted},
		AccessLog:        accessLog(in.Mesh), //nolint:staticcheck // as above
	}
	tcpPolicy(p, policy(one))
	return networkFilter("envoy.filters.network.tcp_proxy", p)
}
