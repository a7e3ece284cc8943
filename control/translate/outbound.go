package translate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/lateenmesh/lateen/model"
)

// serverFirst are ports on which servers usually speak first: there is
// nothing to sniff, so the oldest service decides what they are.
var serverFirst = []uint32{25, 53, 3306, 27017}

// OutboundListeners are the listeners of one port: 0.0.0.0_PORT, which HTTP
// services share, and one per virtual address of the others.
func OutboundListeners(in PortInput) []*listener.Listener {
	b := portBuild{in: in, byAddress: map[string]*bind{}}
	for _, s := range oldestFirst(in.Services) {
		if port, ok := s.Service.Port(in.Port); ok && port.Protocol != model.UDP {
			b.add(s, port)
		}
	}
	var out []*listener.Listener
	for _, address := range slices.Sorted(mapKeys(b.byAddress)) {
		out = append(out, b.listener(address))
	}
	return out
}

// RouteNames lists the routes that the listeners of a port ask for, sorted.
func RouteNames(in PortInput) []string {
	var names []string
	for _, s := range in.Services {
		port, ok := s.Service.Port(in.Port)
		switch {
		case !ok:
		case port.Protocol.IsHTTP(), sniffed(port.Protocol) && len(virtualIPs(s.Service)) == 0:
			names = append(names, PortRoute(in.Port))
		case sniffed(port.Protocol):
			names = append(names, SniffedRoute(s.Service.Host, in.Port))
		}
	}
	return sorted(names)
}

func oldestFirst(services []PortService) []PortService {
	out := slices.Clone(services)
	slices.SortStableFunc(out, func(a, b PortService) int {
		return cmp.Or(a.Service.Created.Compare(b.Service.Created), cmp.Compare(a.Service.Host, b.Service.Host),
			cmp.Compare(a.Service.Namespace, b.Service.Namespace))
	})
	return out
}

// portBuild gathers what the services want of each address.
type portBuild struct {
	in        PortInput
	byAddress map[string]*bind
}

// bind is one address: an HTTP route, chains for TCP, or both.
type bind struct {
	route string // RDS name; empty for no HTTP
	tcp   []*listener.FilterChain
}

func (b portBuild) bind(address string) *bind {
	if b.byAddress[address] == nil {
		b.byAddress[address] = &bind{}
	}
	return b.byAddress[address]
}

// add puts one service where its clients will connect to.
func (b portBuild) add(s PortService, port model.Port) {
	ips := virtualIPs(s.Service)
	switch {
	case port.Protocol.IsHTTP():
		b.http(wildcard, PortRoute(b.in.Port))
	case sniffed(port.Protocol) && len(ips) == 0:
		b.http(wildcard, PortRoute(b.in.Port))
		b.tcp(wildcard, s, port)
	case sniffed(port.Protocol):
		for _, ip := range ips {
			b.http(ip, SniffedRoute(s.Service.Host, b.in.Port))
			b.tcp(ip, s, port)
		}
	case len(ips) > 0:
		for _, ip := range ips {
			b.tcp(ip, s, port)
		}
	case s.Service.Headless() && len(s.Addresses) > 0:
		for _, ip := range sorted(s.Addresses) {
			b.tcp(ip, s, port)
		}
	case !s.Service.Headless():
		b.tcp(wildcard, s, port)
	}
}

// http has requests on the address routed by the named route.
func (b portBuild) http(address, route string) {
	to := b.bind(address)
	if slices.Contains(serverFirst, b.in.Port) && len(to.tcp) > 0 {
		return
	}
	if to.route == "" {
		to.route = route
	}
}

// tcp has connections to the address carried to the service, or as its
// VirtualService's tls and tcp rules say.
func (b portBuild) tcp(address string, s PortService, port model.Port) {
	to := b.bind(address)
	if slices.Contains(serverFirst, b.in.Port) && to.route != "" {
		return
	}
	chains := b.ruleChains(s)
	if len(chains) == 0 {
		chains = []*listener.FilterChain{b.serviceChain(address, s, port)}
	}
	to.tcp = append(to.tcp, chains...)
}

// serviceChain sends everything to the service. On the wildcard address the
// server name or the service's CIDRs tell it from others.
func (b portBuild) serviceChain(address string, s PortService, port model.Port) *listener.FilterChain {
	chain := &listener.FilterChain{}
	if address == wildcard {
		match := &listener.FilterChainMatch{PrefixRanges: prefixes(s.Service.Addresses)}
		if port.Protocol.IsTLS() {
			match.ServerNames = serverNames([]string{string(s.Service.Host)})
		}
		if len(match.PrefixRanges)+len(match.ServerNames) > 0 {
			chain.FilterChainMatch = match
		}
	}
	host := s.Service.Host
	if s.Service.Alias != "" {
		host = s.Service.Alias
	}
	policy := effectivePolicy(b.in.Mesh, s.Rule, "", port.Number)
	chain.Filters = append(connectionStats(b.in.Audience, outbound), tcpProxy(b.in.Mesh, OutboundName(port.Number, "", host), policy))
	return chain
}

// ruleChains are the chains of the tls and tcp rules of a service's
// VirtualService that apply to the port.
func (b portBuild) ruleChains(s PortService) []*listener.FilterChain {
	if s.VirtualService == nil {
		return nil
	}
	in := routeInput{Audience: b.in.Audience, Port: b.in.Port, VirtualService: s.VirtualService, Destinations: s.Destinations}
	return append(in.tlsChains(outbound), in.tcpChains(outbound)...)
}

// listener assembles what was gathered for an address.
func (b portBuild) listener(address string) *listener.Listener {
	to := b.byAddress[address]
	name := fmt.Sprintf("%s_%d", address, b.in.Port)
	l := &listener.Listener{
		Name:             name,
		Address:          socket(address, b.in.Port),
		BindToPort:       yes(false),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
	}
	if to.route != "" {
		l.FilterChains = append(l.FilterChains, &listener.FilterChain{
			FilterChainMatch: &listener.FilterChainMatch{TransportProtocol: rawBuffer, ApplicationProtocols: plainHTTP},
			Filters: []*listener.Filter{httpManager(httpInput{
				Audience: b.in.Audience, Side: outbound, StatPrefix: "outbound_" + name, RouteName: to.route})},
		})
	}
	for _, c := range distinctChains(to.tcp) {
		if c.FilterChainMatch == nil && to.route != "" {
			l.DefaultFilterChain = c
			continue
		}
		l.FilterChains = append(l.FilterChains, c)
	}
	if l.DefaultFilterChain == nil && address == wildcard && !takesAll(l.FilterChains) {
		l.DefaultFilterChain = &listener.FilterChain{Name: "PassthroughFilterChain", Filters: fallbackFilters(b.in.Audience)}
	}
	inspect(b.in.Audience, l)
	return l
}

// takesAll reports whether a chain has no condition.
func takesAll(chains []*listener.FilterChain) bool {
	return slices.ContainsFunc(chains, func(c *listener.FilterChain) bool { return c.FilterChainMatch == nil })
}

// virtualIPs are the service's addresses that are single IPs.
func virtualIPs(s *model.Service) []string {
	var out []string
	for _, a := range s.Addresses {
		if _, err := netip.ParseAddr(a); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// prefixes are the addresses that are CIDRs, and single IPs as such.
func prefixes(addresses []string) []*core.CidrRange {
	var out []*core.CidrRange
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a)
		if ip, ipErr := netip.ParseAddr(a); ipErr == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err == nil {
			out = append(out, &core.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: u32(uint32(p.Bits()))})
		}
	}
	return out
}

// serverNames are hosts as a chain matches them: "*" is no condition.
func serverNames(hosts []string) []string {
	if slices.Contains(hosts, "*") {
		return nil
	}
	var out []string
	for _, h := range hosts {
		out = append(out, strings.ToLower(h))
	}
	return sorted(out)
}
