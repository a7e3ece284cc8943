package translate

import (
	"cmp"
	"fmt"
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpopts "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// InboundClusters are the workload's own ports as clusters. The proxy calls
// the original destination from 127.0.0.6; where the mesh says LOCALHOST, it
// calls 127.0.0.1.
func InboundClusters(in InboundInput) []*cluster.Cluster {
	var out []*cluster.Cluster
	for _, p := range inboundPorts(in) {
		out = append(out, inboundCluster(in, p))
	}
	return out
}

func inboundCluster(in InboundInput, p InboundPort) *cluster.Cluster {
	name := InboundName(p.Target)
	c := &cluster.Cluster{
		Name:           name,
		AltStatName:    name + ";",
		ConnectTimeout: connectTimeout(in.Mesh),
		CommonLbConfig: &cluster.Cluster_CommonLbConfig{},
	}
	if p.Service != nil {
		c.Metadata = istioMetadata(map[string]*structpb.Value{"services": serviceList(p.Service)})
	}
	if localhost(in.Mesh) {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
		c.LoadAssignment = &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{
				Endpoint: &endpoint.Endpoint{Address: socket("127.0.0.1", p.Target)}}}}}}}
	} else {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST}
		c.LbPolicy = cluster.Cluster_CLUSTER_PROVIDED
		c.UpstreamBindConfig = fromSidecar()
	}
	pool := inboundPool(in.Mesh, p)
	b := &clusterBuild{cluster: c, http: &httpopts.HttpProtocolOptions{}}
	b.protocol(nil, p.Port.Protocol, pool.GetHttp())
	b.connectionPool(in.Mesh, pool)
	b.finish()
	return c
}

func localhost(m *mesh.Config) bool {
	p := m.GetInboundTrafficPolicy()
	return p != nil && p.Mode == meshconfig.MeshConfig_InboundTrafficPolicy_LOCALHOST
}

// inboundPool is the connection pool of the service's rule. An upgrade of the
// clients to HTTP/2 means that the workload gets what they send.
func inboundPool(m *mesh.Config, p InboundPort) *networking.ConnectionPoolSettings {
	pool := effectivePolicy(m, p.Rule, "", p.Port.Number).GetConnectionPool()
	if pool.GetHttp().GetH2UpgradePolicy() != networking.ConnectionPoolSettings_HTTPSettings_UPGRADE {
		return pool
	}
	pool = proto.Clone(pool).(*networking.ConnectionPoolSettings)
	pool.Http.H2UpgradePolicy = networking.ConnectionPoolSettings_HTTPSettings_DO_NOT_UPGRADE
	pool.Http.UseClientProtocol = true
	return pool
}

// inboundPorts are the ports in order of their numbers; of several services
// with one target port the oldest decides.
func inboundPorts(in InboundInput) []InboundPort {
	ports := slices.DeleteFunc(slices.Clone(in.Ports), func(p InboundPort) bool { return p.Port.Protocol == model.UDP || p.Target == 0 })
	slices.SortStableFunc(ports, func(a, b InboundPort) int {
		if a.Target == b.Target && a.Service != nil && b.Service != nil {
			return cmp.Or(a.Service.Created.Compare(b.Service.Created), cmp.Compare(a.Service.Name, b.Service.Name),
				cmp.Compare(a.Service.Namespace, b.Service.Namespace))
		}
		return cmp.Compare(a.Target, b.Target)
	})
	return slices.CompactFunc(ports, func(a, b InboundPort) bool { return a.Target == b.Target })
}

// InboundListener is virtualInbound: it takes every connection to the
// workload and finds by port, TLS and first bytes what to do with it.
func InboundListener(in InboundInput) *listener.Listener {
	self := uint32(inboundPort)
	if p := in.Mesh.GetProxyInboundListenPort(); p > 0 {
		self = uint32(p)
	}
	l := &listener.Listener{
		Name:             "virtualInbound",
		Address:          socket(wildcard, self),
		TrafficDirection: core.TrafficDirection_INBOUND,
		AccessLog:        listenerLog(in.Mesh),
	}
	l.FilterChains = append(l.FilterChains, &listener.FilterChain{
		Name:             "virtualInbound-blackhole",
		FilterChainMatch: &listener.FilterChainMatch{DestinationPort: u32(self)},
		Filters:          append(connectionStats(in.Audience, inbound), tcpProxy(in.Mesh, BlackHole, nil)),
	})
	var noTLS, noHTTP []uint32
	ports := inboundPorts(in)
	for _, p := range ports {
		l.FilterChains = append(l.FilterChains, inboundChains(portTraffic(in, p), p.MTLS)...)
		if !sniffed(p.Port.Protocol) {
			noHTTP = append(noHTTP, p.Target)
		}
		if p.MTLS == mesh.Disable {
			noTLS = append(noTLS, p.Target)
		}
	}
	l.FilterChains = append(l.FilterChains, inboundChains(strayTraffic(in), in.MTLS)...)
	l.ListenerFilters = []*listener.ListenerFilter{originalDst(), notOn(inspectTLS(), noTLS), notOn(inspectHTTP(), noHTTP)}
	detectionTimeout(in.Audience, l)
	return l
}

// portTraffic is what comes for a declared port.
func portTraffic(in InboundInput, p InboundPort) inboundTraffic {
	t := inboundTraffic{
		audience: in.Audience, port: p.Target, protocol: p.Port.Protocol,
		name: fmt.Sprintf("%s_%d", wildcard, p.Target), cluster: InboundName(p.Target),
		operation: fmt.Sprintf("workload:%d/*", p.Target), host: fmt.Sprintf("inbound|http|%d", cmp.Or(p.Port.Number, p.Target)),
		policy: &networking.TrafficPolicy{ConnectionPool: inboundPool(in.Mesh, p)},
	}
	if p.Service != nil {
		t.operation = fmt.Sprintf("%s:%d/*", p.Service.Host, p.Port.Number)
	}
	t.httpName = t.name
	return t
}

// strayTraffic is what comes for ports that nobody declared.
func strayTraffic(in InboundInput) inboundTraffic {
	return inboundTraffic{
		audience: in.Audience, name: "virtualInbound", httpName: "virtualInbound-catchall-http",
		cluster: InboundPassthrough, operation: ":0/*", host: "inbound|http|0",
	}
}

// inboundRoute sends all requests to the workload.
func (t inboundTraffic) route() *route.RouteConfiguration {
	action := &route.RouteAction{
		ClusterSpecifier: &route.RouteAction_Cluster{Cluster: t.cluster},
		Timeout:          seconds(0), MaxGrpcTimeout: seconds(0), //nolint:staticcheck // see routeBuild.timeout
	}
	return &route.RouteConfiguration{
		Name:             t.cluster,
		ValidateClusters: yes(false),
		VirtualHosts: []*route.VirtualHost{{
			Name:    t.host,
			Domains: []string{"*"},
			Routes: []*route.Route{{
				Name:      "default",
				Match:     &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action:    &route.Route_Route{Route: action},
				Decorator: &route.Decorator{Operation: t.operation},
			}},
		}},
	}
}
