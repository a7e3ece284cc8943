package translate

import (
	exchange "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

const peerExchange = "istio-peer-exchange"

// metadataExchange has the connections to the cluster tell the peers about
// each other.
func (b *clusterBuild) metadataExchange(istio bool) {
	if !istio {
		return
	}
	b.cluster.Filters = []*cluster.Filter{{
		Name:        "istio.metadata_exchange",
		TypedConfig: packed(&exchange.MetadataExchange{Protocol: peerExchange}),
	}}
}
