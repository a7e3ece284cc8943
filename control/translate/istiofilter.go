package translate

import (
	alpn "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"
	stats "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	peer "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	exchange "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

const (
	peerExchange   = "istio-peer-exchange"
	exchangeFilter = "istio.metadata_exchange"
	statsFilter    = "istio.stats"
)

// side is which side of its workload a filter stands on.
type side uint8

const (
	inbound side = iota
	outbound
	edge // a gateway: its callers are strangers
)

// metadataExchange has the connections to the cluster tell the peers about
// each other.
func (b *clusterBuild) metadataExchange(istio bool) {
	if istio {
		b.cluster.Filters = []*cluster.Filter{{
			Name: exchangeFilter, TypedConfig: packed(&exchange.MetadataExchange{Protocol: peerExchange})}}
	}
}

// exchangeDownstream is the same for connections that come in.
func exchangeDownstream(a Audience) []*listener.Filter {
	if !a.Istio {
		return nil
	}
	return []*listener.Filter{networkFilter(exchangeFilter, &exchange.MetadataExchange{Protocol: peerExchange})}
}

// connectionStats counts TCP connections and bytes.
func connectionStats(a Audience, s side) []*listener.Filter {
	if !a.Istio {
		return nil
	}
	return []*listener.Filter{networkFilter(statsFilter, statsConfig(s))}
}

// statsConfig trusts the host header as the name of the destination only
// where the caller is our own workload.
func statsConfig(s side) *stats.PluginConfig {
	return &stats.PluginConfig{DisableHostHeaderFallback: s != outbound}
}

// peerMetadata tells peers in HTTP headers who they talk to: callers on the
// way in, servers on the way out.
func peerMetadata(s side) *hcm.HttpFilter {
	headers := &peer.Config_DiscoveryMethod{MethodSpecifier: &peer.Config_DiscoveryMethod_IstioHeaders{IstioHeaders: &peer.Config_IstioHeaders{}}}
	workload := &peer.Config_DiscoveryMethod{
		MethodSpecifier: &peer.Config_DiscoveryMethod_WorkloadDiscovery{WorkloadDiscovery: &peer.Config_WorkloadDiscovery{}}}
	propagation := func(skip bool) []*peer.Config_PropagationMethod {
		return []*peer.Config_PropagationMethod{{MethodSpecifier: &peer.Config_PropagationMethod_IstioHeaders{
			IstioHeaders: &peer.Config_IstioHeaders{SkipExternalClusters: skip}}}}
	}
	if s == inbound {
		return httpFilter(exchangeFilter, &peer.Config{
			DownstreamDiscovery:   []*peer.Config_DiscoveryMethod{headers, workload},
			DownstreamPropagation: propagation(false),
		})
	}
	return httpFilter(exchangeFilter, &peer.Config{
		UpstreamDiscovery:   []*peer.Config_DiscoveryMethod{headers, workload},
		UpstreamPropagation: propagation(true),
	})
}

// alpnOverride offers the server's proxy the protocol that the request will
// have, under names that tell it apart from a stranger's TLS.
func alpnOverride() *hcm.HttpFilter {
	offer := func(p alpn.FilterConfig_Protocol, names ...string) *alpn.FilterConfig_AlpnOverride {
		return &alpn.FilterConfig_AlpnOverride{UpstreamProtocol: p, AlpnOverride: names}
	}
	return httpFilter("istio.alpn", &alpn.FilterConfig{AlpnOverride: []*alpn.FilterConfig_AlpnOverride{
		offer(alpn.FilterConfig_HTTP10, "istio-http/1.0", "istio", "http/1.0"),
		offer(alpn.FilterConfig_HTTP11, "istio-http/1.1", "istio", "http/1.1"),
		offer(alpn.FilterConfig_HTTP2, "istio-h2", "istio", "h2"),
	}})
}

func httpFilter(name string, config proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(config)}}
}

func networkFilter(name string, config proto.Message) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: packed(config)}}
}
