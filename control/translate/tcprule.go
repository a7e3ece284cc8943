package translate

import (
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// tlsChains translates tls rules: one chain per match, by server name.
func (in routeInput) tlsChains(s side) []*listener.FilterChain {
	var out []*listener.FilterChain
	for _, rule := range in.VirtualService.Spec.GetTls() {
		proxy := tcpRoute(in, rule.Route)
		for _, m := range rule.Match {
			if proxy == nil || !in.appliesTCP(m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace) {
				continue
			}
			out = append(out, &listener.FilterChain{
				FilterChainMatch: &listener.FilterChainMatch{ServerNames: serverNames(m.SniHosts), PrefixRanges: prefixes(m.DestinationSubnets)},
				Filters:          append(connectionStats(in.Audience, s), proxy),
			})
		}
	}
	return out
}

// tcpChains translates tcp rules: the first that applies without conditions
// on the address takes everything.
func (in routeInput) tcpChains(s side) []*listener.FilterChain {
	var out []*listener.FilterChain
	for _, rule := range in.VirtualService.Spec.GetTcp() {
		proxy := tcpRoute(in, rule.Route)
		if proxy == nil {
			continue
		}
		matches := rule.Match
		if len(matches) == 0 {
			matches = []*networking.L4MatchAttributes{{}}
		}
		for _, m := range matches {
			if !in.appliesTCP(m.Port, m.Gateways, m.SourceLabels, m.SourceNamespace) {
				continue
			}
			chain := &listener.FilterChain{Filters: append(connectionStats(in.Audience, s), proxy)}
			if subnets := prefixes(m.DestinationSubnets); len(subnets) > 0 {
				chain.FilterChainMatch = &listener.FilterChainMatch{PrefixRanges: subnets}
			}
			out = append(out, chain)
			if chain.FilterChainMatch == nil {
				return out
			}
		}
	}
	return out
}

func (in routeInput) appliesTCP(port uint32, gateways []string, labels map[string]string, namespace string) bool {
	return (port == 0 || port == in.Port) && in.Audience.applies(gateways, labels, namespace, in.VirtualService.Namespace)
}
