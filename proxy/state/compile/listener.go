package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	mxv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/socket/fromenvoy"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/tcp"
)

// Listener is a compiled listener and what it waits for.
type Listener struct {
	Config listener.Config
	// Managers are its connection managers, those with routes by RDS among
	// them.
	Managers []*Manager
	// Secrets names the secrets that it waits for.
	Secrets []ads.Ref

	log stream.Observer // told of its connections' ends; nil for nobody
}

// Listener compiles a listener.
func (c *Compiler) Listener(m *listenerv3.Listener) (*Listener, error) {
	if err := Fields.Check(m); err != nil {
		return nil, err
	}
	if m.GetTransparent().GetValue() {
		return nil, fieldcheck.Refuse("transparent", "is not supported: connections that were redirected are told by use_original_dst")
	}
	out := &Listener{Config: listener.Config{
		Name:              m.GetName(),
		Metadata:          told(m.GetMetadata()),
		Bind:              m.GetBindToPort() == nil || m.GetBindToPort().GetValue(),
		UseOriginalDst:    m.GetUseOriginalDst().GetValue(),
		InspectTimeout:    15 * time.Second,
		ContinueOnTimeout: m.GetContinueOnListenerFiltersTimeout(),
	}}
	//nolint:staticcheck // istiod still writes the deprecated form
	if v1 := m.GetDeprecatedV1(); v1 != nil && v1.GetBindToPort() != nil {
		out.Config.Bind = v1.GetBindToPort().GetValue()
	}
	if d := m.GetListenerFiltersTimeout(); d != nil {
		out.Config.InspectTimeout = d.AsDuration()
	}
	switch m.GetTrafficDirection() {
	case corev3.TrafficDirection_INBOUND:
		out.Config.Direction = listener.Inbound
	case corev3.TrafficDirection_OUTBOUND:
		out.Config.Direction = listener.Outbound
	}
	out.Config.Unlimited, out.Config.Exempt = m.GetIgnoreGlobalConnLimit(), m.GetBypassOverloadManager()
	var err error
	if err = addresses(&out.Config, m); err != nil {
		return nil, err
	}
	if err := inspectors(m.GetListenerFilters(), &out.Config); err != nil {
		return nil, fieldcheck.At("listener_filters", err)
	}
	if out.log, err = c.observers(m.GetAccessLog(), nil, out.Config.Direction); err != nil {
		return nil, err
	}
	if out.log != nil {
		out.Config.Refused = refused(out.log)
	}
	return out, c.chains(m, out)
}

// addresses reads where a listener listens. A wildcard of IPv6 that takes IPv4, too,
// is two addresses.
func addresses(out *listener.Config, m *listenerv3.Listener) error {
	var err error
	if out.Address, err = fromenvoy.Address(m.GetAddress()); err != nil {
		return fieldcheck.At("address", err)
	}
	compatible := func(a *corev3.Address) {
		if s := a.GetSocketAddress(); s.GetIpv4Compat() && s.GetAddress() == "::" {
			out.More = append(out.More, socket.Address{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(s.GetPortValue()))})
		}
	}
	compatible(m.GetAddress())
	for i, a := range m.GetAdditionalAddresses() {
		at, err := fromenvoy.Address(a.GetAddress())
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("additional_addresses[%d].address", i), err)
		}
		out.More = append(out.More, at)
		compatible(a.GetAddress())
	}
	return nil
}

func (c *Compiler) chains(m *listenerv3.Listener, out *Listener) error {
	for i, fc := range m.GetFilterChains() {
		chain, err := c.chain(fc, out)
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("filter_chains[%d]", i), err)
		}
		out.Config.Chains = append(out.Config.Chains, chain)
	}
	if fc := m.GetDefaultFilterChain(); fc != nil {
		chain, err := c.chain(fc, out)
		if err != nil {
			return fieldcheck.At("default_filter_chain", err)
		}
		out.Config.Default = chain
	}
	slices.SortFunc(out.Secrets, ads.Ref.Compare)
	out.Secrets = slices.Compact(out.Secrets)
	return nil
}

func (c *Compiler) chain(m *listenerv3.FilterChain, out *Listener) (*listener.Chain, error) {
	chain := &listener.Chain{Name: m.GetName(), Metadata: told(m.GetMetadata()), HandshakeTimeout: m.GetTransportSocketConnectTimeout().AsDuration()}
	exchange, err := c.exchangeIn(m.GetFilters())
	if err != nil {
		return nil, fieldcheck.At("filters", err)
	}
	if chain.Match, err = chainMatch(m.GetFilterChainMatch()); err != nil {
		return nil, fieldcheck.At("filter_chain_match", err)
	}
	if s := m.GetTransportSocket(); s != nil {
		if chain.TLS, err = c.downstream(s, exchange, out); err != nil {
			return nil, fieldcheck.At("transport_socket", err)
		}
	}
	if chain.Handler, err = c.network(m.GetFilters(), out); err != nil {
		return nil, fieldcheck.At("filters", err)
	}
	if exchange != nil {
		chain.Handler = &introduced{exchange, chain.Handler}
	}
	return chain, nil
}

func (c *Compiler) downstream(s *corev3.TransportSocket, exchange *peermetadata.Exchange, out *Listener) (listener.TLS, error) {
	m, err := unpack(s.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	switch t := m.(type) {
	case *rawv3.RawBuffer:
		return nil, nil
	case *tlsv3.DownstreamTlsContext:
		server, err := credential.NewServer(c.Secrets, t, unspoken(exchange)...)
		if err != nil {
			return nil, fieldcheck.At("typed_config", err)
		}
		out.Secrets = append(out.Secrets, server.Secrets()...)
		return server, nil
	default:
		return nil, fieldcheck.Refuse("typed_config", "%s is not a transport socket for listeners", m.ProtoReflect().Descriptor().FullName())
	}
}

// network compiles a chain's network filters; the last one carries the
// connection.
func (c *Compiler) network(list []*listenerv3.Filter, out *Listener) (listener.Handler, error) {
	var stats []*statsv3.PluginConfig
	var gates []gate
	for i, f := range list {
		at := fmt.Sprintf("[%d].typed_config", i)
		m, err := unpack(f.GetTypedConfig())
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		var handler listener.Handler
		switch t := m.(type) {
		case *mxv3.MetadataExchange: // by exchangeIn
			continue
		case *statsv3.PluginConfig:
			stats = append(stats, t)
			continue
		case *hcmv3.HttpConnectionManager:
			if len(stats) > 0 {
				return nil, fieldcheck.Refuse(at, "stats.PluginConfig stands before a filter of requests: write it among its http_filters")
			}
			if handler, err = c.http(t, out.Config.Direction, out); out.log != nil {
				handler = &logged{out.log, handler}
			}
		case *tcpv3.TcpProxy:
			handler, err = c.tcp(t, stats, gates, out)
			gates = nil
		default:
			g, err := c.gate(m)
			if err != nil {
				return nil, fieldcheck.At(at, err)
			}
			gates = append(gates, g)
			continue
		}
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		if i != len(list)-1 {
			return nil, fieldcheck.Refuse(at, "carries the connection and must be the last filter")
		}
		return gated(gates, handler, out.log), nil
	}
	return nil, fieldcheck.Refuse("", "has no filter that carries the connection (http_connection_manager or tcp_proxy)")
}

func (c *Compiler) tcp(m *tcpv3.TcpProxy, stats []*statsv3.PluginConfig, gates []gate, out *Listener) (listener.Handler, error) {
	observer, err := c.observers(m.GetAccessLog(), stats, out.Config.Direction)
	if err != nil {
		return nil, err
	}
	switch {
	case out.log == nil:
	case observer == nil:
		observer = out.log
	default:
		observer = stream.Observers{observer, out.log}
	}
	config := tcp.Config{
		StatPrefix: m.GetStatPrefix(), Find: c.Lookup, ConnectAttempts: int(m.GetMaxConnectAttempts().GetValue()),
		MaxDuration: m.GetMaxDownstreamConnectionDuration().AsDuration(), Observer: observer,
	}
	if d := m.GetIdleTimeout(); d != nil {
		config.IdleTimeout = never(d.AsDuration())
	}
	switch t := m.GetClusterSpecifier().(type) {
	case *tcpv3.TcpProxy_Cluster:
		config.Clusters = []tcp.Weighted{{Cluster: c.Handle(t.Cluster), Weight: 1}}
	case *tcpv3.TcpProxy_WeightedClusters:
		for _, w := range t.WeightedClusters.GetClusters() {
			config.Clusters = append(config.Clusters, tcp.Weighted{Cluster: c.Handle(w.GetName()), Weight: w.GetWeight()})
		}
	default:
		return nil, fieldcheck.Refuse("", "names no cluster: write cluster or weighted_clusters")
	}
	for _, p := range m.GetHashPolicy() {
		config.HashSource = config.HashSource || p.GetSourceIp() != nil
		if p.GetSourceIp() == nil {
			return nil, fieldcheck.Refuse("hash_policy", "only source_ip is supported")
		}
	}
	if t := m.GetTunnelingConfig(); t != nil {
		if slices.Contains(gates, gate(toNamed{})) {
			return nil, fieldcheck.Refuse("tunneling_config", "is not supported behind sni_cluster: write a filter chain for each server name")
		}
		if config.Tunnel, err = c.tunnel(t, &config); err != nil {
			return nil, fieldcheck.At("tunneling_config", err)
		}
	}
	return gated(gates, tcp.New(config), observer), nil
}
