package translate

import (
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldst "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
)

const (
	wildcard     = "0.0.0.0"
	outboundPort = 15001
	inboundPort  = 15006
	rawBuffer    = "raw_buffer"
	// inspectBytes is how much the TLS inspector reads at first.
	inspectBytes = 512
)

// plainHTTP are the names by which the HTTP inspector reports what it saw.
var plainHTTP = []string{"http/1.1", "h2c"}

// VirtualOutbound takes every connection that the workload makes, and hands
// it to the listener for its original destination. What no listener wants
// passes or is refused, as the mesh's settings say.
func VirtualOutbound(a Audience) *listener.Listener {
	port := uint32(outboundPort)
	if p := a.Mesh.GetProxyListenPort(); p > 0 {
		port = uint32(p)
	}
	return &listener.Listener{
		Name:             "virtualOutbound",
		Address:          socket(wildcard, port),
		UseOriginalDst:   yes(true),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
		AccessLog:        listenerLog(a.Mesh),
		FilterChains: []*listener.FilterChain{
			{
				Name:             "virtualOutbound-blackhole",
				FilterChainMatch: &listener.FilterChainMatch{DestinationPort: u32(port)},
				Filters:          append(connectionStats(a, outbound), tcpProxy(a.Mesh, BlackHole, nil)),
			},
			{Name: "virtualOutbound-catchall-tcp", Filters: fallbackFilters(a)},
		},
	}
}

// fallbackFilters carry connections to unknown destinations.
func fallbackFilters(a Audience) []*listener.Filter {
	to := Passthrough
	if registryOnly(a.Mesh) {
		to = BlackHole
	}
	return append(connectionStats(a, outbound), tcpProxy(a.Mesh, to, nil))
}

// HTTPProxyListener lets the workload use its sidecar as an HTTP proxy; nil
// unless the audience has a port for that.
func HTTPProxyListener(a Audience) *listener.Listener {
	if a.HTTPProxyPort == 0 {
		return nil
	}
	name := fmt.Sprintf("127.0.0.1_%d", a.HTTPProxyPort)
	return &listener.Listener{
		Name:             name,
		Address:          socket("127.0.0.1", a.HTTPProxyPort),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{httpManager(httpInput{
			Audience: a, Side: outbound, StatPrefix: "outbound_" + name, RouteName: HTTPProxyRoute, AbsoluteURL: true})}}},
	}
}

func listenerFilter(name string, config proto.Message) *listener.ListenerFilter {
	return &listener.ListenerFilter{Name: name, ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: packed(config)}}
}

func originalDst() *listener.ListenerFilter {
	return listenerFilter("envoy.filters.listener.original_dst", &originaldst.OriginalDst{})
}

func inspectTLS() *listener.ListenerFilter {
	return listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspector.TlsInspector{InitialReadBufferSize: u32(inspectBytes)})
}

func inspectHTTP() *listener.ListenerFilter {
	return listenerFilter("envoy.filters.listener.http_inspector", &httpinspector.HttpInspector{})
}

// inspect adds the inspectors that l's filter chains depend on. Unless the
// mesh sets a time, they wait for the client's first bytes for ever.
func inspect(a Audience, l *listener.Listener) {
	var tls, http bool
	for _, c := range l.FilterChains {
		m := c.FilterChainMatch
		tls = tls || len(m.GetServerNames()) > 0 || m.GetTransportProtocol() == "tls"
		http = http || m.GetTransportProtocol() == rawBuffer && len(m.GetApplicationProtocols()) > 0
	}
	if tls {
		l.ListenerFilters = append(l.ListenerFilters, inspectTLS())
	}
	if http {
		l.ListenerFilters = append(l.ListenerFilters, inspectHTTP())
	}
	if tls || http {
		detectionTimeout(a, l)
	}
}

func detectionTimeout(a Audience, l *listener.Listener) {
	l.ListenerFiltersTimeout = a.Mesh.GetProtocolDetectionTimeout()
	if l.ListenerFiltersTimeout == nil {
		l.ListenerFiltersTimeout = seconds(0)
	}
	l.ContinueOnListenerFiltersTimeout = true
}

// notOn keeps a listener filter off the given ports.
func notOn(f *listener.ListenerFilter, ports []uint32) *listener.ListenerFilter {
	var rules []*listener.ListenerFilterChainMatchPredicate
	for _, p := range ports {
		rules = append(rules, &listener.ListenerFilterChainMatchPredicate{
			Rule: &listener.ListenerFilterChainMatchPredicate_DestinationPortRange{DestinationPortRange: &typev3.Int32Range{Start: int32(p), End: int32(p) + 1}}})
	}
	switch len(rules) {
	case 0:
	case 1:
		f.FilterDisabled = rules[0]
	default:
		f.FilterDisabled = &listener.ListenerFilterChainMatchPredicate{Rule: &listener.ListenerFilterChainMatchPredicate_OrMatch{
			OrMatch: &listener.ListenerFilterChainMatchPredicate_MatchSet{Rules: rules}}}
	}
	return f
}

// distinctChains drops chains whose match an earlier chain has: a proxy
// refuses a listener that has both.
func distinctChains(chains []*listener.FilterChain) []*listener.FilterChain {
	seen := map[string]bool{}
	var out []*listener.FilterChain
	for _, c := range chains {
		key := string(packed(c.FilterChainMatch).GetValue())
		if !seen[key] {
			seen[key] = true
			out = append(out, c)
		}
	}
	return out
}
