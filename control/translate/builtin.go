package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpopts "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/lateenmesh/lateen/model"
)

// inboundSource is the address from which a sidecar calls its own workload,
// so that the redirect lets it through.
const inboundSource = "127.0.0.6"

// BuiltinClusters are the clusters that a proxy has whatever the mesh holds: a
// hole for what is refused, and for sidecars the original destination in both
// directions.
func BuiltinClusters(a Audience) []*cluster.Cluster {
	hole := &cluster.Cluster{
		Name:                 BlackHole,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		ConnectTimeout:       connectTimeout(a.Mesh),
	}
	if a.gateway() {
		return []*cluster.Cluster{hole}
	}
	in := original(a, InboundPassthrough)
	in.UpstreamBindConfig = fromSidecar()
	return []*cluster.Cluster{hole, in, original(a, Passthrough)}
}

// original is a cluster that calls where the connection was going anyway,
// speaking what the client speaks.
func original(a Audience, name string) *cluster.Cluster {
	c := &cluster.Cluster{
		Name:                 name,
		AltStatName:          name + ";",
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST},
		LbPolicy:             cluster.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:       connectTimeout(a.Mesh),
	}
	b := &clusterBuild{cluster: c, http: &httpopts.HttpProtocolOptions{}}
	b.protocol(a.Mesh, model.Unset, nil)
	b.connectionPool(a.Mesh, nil)
	b.finish()
	return c
}

func fromSidecar() *core.BindConfig {
	return &core.BindConfig{SourceAddress: &core.SocketAddress{
		Address: inboundSource, PortSpecifier: &core.SocketAddress_PortValue{}}}
}
