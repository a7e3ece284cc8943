package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpopts "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// httpOptions is the key of a cluster's HTTP settings.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// OutboundClusters are the clusters of one service: for every port that is
// not UDP one with all endpoints, then one per subset of its rule.
func OutboundClusters(in ServiceInput) []*cluster.Cluster {
	var out []*cluster.Cluster
	for _, port := range in.Service.Ports {
		if port.Protocol == model.UDP {
			continue
		}
		out = append(out, outboundCluster(in, port, nil))
		for _, subset := range subsets(in.Rule) {
			out = append(out, outboundCluster(in, port, subset))
		}
	}
	return out
}

// outboundCluster is the cluster of one port and subset (nil for none).
func outboundCluster(in ServiceInput, port model.Port, subset *networking.Subset) *cluster.Cluster {
	policy := effectivePolicy(in.Mesh, in.Rule, subset.GetName(), port.Number)
	name := OutboundName(port.Number, subset.GetName(), in.Service.Host)
	c := &cluster.Cluster{
		Name:           name,
		AltStatName:    name + ";",
		ConnectTimeout: connectTimeout(in.Mesh),
		Metadata:       clusterMetadata(in, port, subset),
		CommonLbConfig: &cluster.Cluster_CommonLbConfig{},
	}
	discovery(c, in, port, subset)
	b := &clusterBuild{cluster: c, http: &httpopts.HttpProtocolOptions{}}
	b.protocol(in.Mesh, port.Protocol, policy.GetConnectionPool().GetHttp())
	b.connectionPool(in.Mesh, policy.GetConnectionPool())
	b.retryBudget(policy.GetRetryBudget())
	b.outlierDetection(policy.GetOutlierDetection())
	b.loadBalancer(policy.GetLoadBalancer(), in.Mesh)
	b.clientTLS(in, port, subset.GetName(), policy.GetTls())
	b.proxyProtocol(policy.GetProxyProtocol())
	b.finish()
	return c
}

// discovery says how the cluster learns its endpoints.
func discovery(c *cluster.Cluster, in ServiceInput, port model.Port, subset *networking.Subset) {
	kind := func(t cluster.Cluster_DiscoveryType) { c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: t} }
	switch {
	case in.Service.Resolution == model.ResolveDNS, in.Service.Resolution == model.ResolveDNSRoundRobin:
		kind(cluster.Cluster_STRICT_DNS)
		if in.Service.Resolution == model.ResolveDNSRoundRobin {
			kind(cluster.Cluster_LOGICAL_DNS)
		}
		c.DnsLookupFamily = cluster.Cluster_V4_ONLY
		c.RespectDnsTtl = true
		c.DnsRefreshRate = in.Mesh.GetDnsRefreshRate()
		c.LoadAssignment = Endpoints(EndpointsInput{Audience: in.Audience, Service: in.Service, Port: port,
			Subset: subset.GetName(), Rule: in.Rule, Endpoints: in.Endpoints})
	case in.Service.Resolution == model.ResolveNone, in.Service.Headless() && !proxied(in.Audience, port):
		kind(cluster.Cluster_ORIGINAL_DST)
		c.LbPolicy = cluster.Cluster_CLUSTER_PROVIDED
	default:
		kind(cluster.Cluster_EDS)
		c.EdsClusterConfig = &cluster.Cluster_EdsClusterConfig{EdsConfig: adsSource(), ServiceName: c.Name}
	}
}

// proxied reports whether requests to a headless service's port may come by
// http_proxy. Such a connection goes to the proxy itself and has no original
// destination, so the endpoints must be known.
func proxied(a Audience, port model.Port) bool {
	return a.HTTPProxyPort != 0 && !port.Protocol.IsTCP()
}

// clusterMetadata names the service, for telemetry, and the rule, for
// explanations.
func clusterMetadata(in ServiceInput, port model.Port, subset *networking.Subset) *core.Metadata {
	fields := map[string]*structpb.Value{
		"services":              serviceList(in.Service),
		"default_original_port": structpb.NewNumberValue(float64(port.Number)),
	}
	if in.Service.External {
		fields["external"] = structpb.NewBoolValue(true)
	}
	if in.Rule != nil {
		fields["config"] = text(configPath("destination-rule", in.Rule.Namespace, in.Rule.Name))
	}
	if subset != nil {
		fields["subset"] = text(subset.Name)
	}
	return istioMetadata(fields)
}

func serviceList(s *model.Service) *structpb.Value {
	return structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStructValue(&structpb.Struct{
		Fields: map[string]*structpb.Value{"host": text(string(s.Host)), "name": text(s.Name), "namespace": text(s.Namespace)},
	})}})
}

// clusterBuild is a cluster with the parts that several policies write to.
type clusterBuild struct {
	cluster *cluster.Cluster
	http    *httpopts.HttpProtocolOptions
	// set is true once http holds something worth sending.
	set bool
}

// finish packs the HTTP settings, if anything asked for them.
func (b *clusterBuild) finish() {
	if !b.set {
		return
	}
	if b.http.UpstreamProtocolOptions == nil {
		b.http.UpstreamProtocolOptions = explicitHTTP1()
	}
	b.cluster.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: packed(b.http)}
}

// connectTimeout is the mesh's, 10 s by default.
func connectTimeout(m *mesh.Config) *durationpb.Duration {
	if t := m.GetConnectTimeout(); t != nil {
		return t
	}
	return seconds(10)
}
