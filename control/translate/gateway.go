package translate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// server is one server of a Gateway, on the port where the pod has it.
type server struct {
	gateway *mesh.Gateway
	spec    *networking.Server
	bind    string
	port    uint32
	number  int // its place in the Gateway
	kind    kind
	hosts   []string // of a server that ends TLS: those that no older one has
}

// kind is what a server does with a connection.
type kind uint8

const (
	plainRequests kind = iota // HTTP
	tlsRequests               // ends TLS, reads HTTP
	tlsBytes                  // ends TLS, carries bytes
	sealedBytes               // carries TLS unread
	plainBytes                // carries bytes
)

// allServers lists all servers, oldest Gateway first, with their bound ports.
func allServers(in GatewayInput) []server {
	var out []server
	for _, g := range in.Gateways {
		for i, spec := range g.Spec.GetServers() {
			port := spec.GetPort().GetNumber()
			if target, ok := in.Targets[port]; ok {
				port = target
			}
			out = append(out, server{gateway: g, spec: spec, bind: cmp.Or(spec.Bind, wildcard), port: port, number: i})
		}
	}
	return out
}

// servers are those that can be served. Of servers that cannot share a port
// the oldest stays; the others are told why they are left out.
func servers(in GatewayInput) ([]server, []Problem) {
	var out []server
	var problems []Problem
	first := map[string]server{}
	taken := map[string]map[string]bool{} // TLS hosts by port
	for _, s := range allServers(in) {
		name := s.listenerName()
		var wrong string
		s.kind, wrong = s.classify()
		holder, used := first[name]
		if taken[name] == nil {
			taken[name] = map[string]bool{}
		}
		switch {
		case wrong != "":
		case used && !shareable(holder.kind, s.kind):
			wrong = fmt.Sprintf("port %d is already used for another protocol by %s: choose another port", s.port, holder.gateway.Meta)
		case s.kind == tlsRequests, s.kind == tlsBytes:
			if s.hosts = free(serverHosts(s.spec), taken[name]); len(s.hosts) == 0 {
				wrong = fmt.Sprintf("all hosts already have a TLS server on port %d: remove one of them", s.port)
			}
		}
		if wrong != "" {
			problems = append(problems, Problem{Object: s.gateway.Meta, Text: fmt.Sprintf("servers[%d]: %s", s.number, wrong)})
			continue
		}
		if !used {
			first[name] = s
		}
		out = append(out, s)
	}
	return out, problems
}

// free takes the hosts that are not taken yet.
func free(hosts []string, taken map[string]bool) []string {
	var out []string
	for _, h := range hosts {
		if !taken[h] {
			taken[h] = true
			out = append(out, h)
		}
	}
	return out
}

func (s server) listenerName() string { return fmt.Sprintf("%s_%d", s.bind, s.port) }

// classify reads a server's protocol and TLS mode. The second value says what
// is wrong, if anything is.
func (s server) classify() (kind, string) {
	p := model.ParseProtocol(s.spec.GetPort().GetProtocol())
	t := s.spec.GetTls()
	switch {
	case p.IsHTTP():
		return plainRequests, ""
	case p.IsTLS() && (t == nil || t.HttpsRedirect):
		return 0, "protocol " + s.spec.Port.Protocol + " needs tls.mode and a certificate: set tls.mode and tls.credentialName"
	case p.IsTLS() && t.Mode == networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		return 0, "tls.mode AUTO_PASSTHROUGH is not supported: use PASSTHROUGH with tls routes in a VirtualService"
	case p.IsTLS() && t.Mode == networking.ServerTLSSettings_PASSTHROUGH:
		return sealedBytes, ""
	case p == model.HTTPS:
		return tlsRequests, ""
	case p == model.TLS, p.IsTCP() && t != nil:
		return tlsBytes, ""
	case p.IsTCP():
		return plainBytes, ""
	}
	return 0, "protocol " + s.spec.GetPort().GetProtocol() + " is not one that a gateway serves: use HTTP, HTTPS, HTTP2, GRPC, TCP or TLS"
}

// shareable reports whether servers of both kinds can be on one port.
func shareable(a, b kind) bool {
	family := map[kind]int{plainRequests: 0, tlsRequests: 1, tlsBytes: 1, sealedBytes: 1, plainBytes: 2}
	return family[a] == family[b]
}

// GatewayListeners are a gateway's listeners, one per address and port, in
// the order of their names. Servers that cannot share a port with an older
// one are left out and told.
func GatewayListeners(in GatewayInput) ([]*listener.Listener, []Problem) {
	served, problems := servers(in)
	byName := map[string]*gatewayPort{}
	for _, s := range served {
		name := s.listenerName()
		if byName[name] == nil {
			byName[name] = &gatewayPort{in: in, name: name, first: s}
		}
		byName[name].add(s)
	}
	var out []*listener.Listener
	for _, name := range slices.Sorted(mapKeys(byName)) {
		if l := byName[name].listener(); l != nil {
			out = append(out, l)
		}
	}
	return out, problems
}

// gatewayPort gathers the servers of one address and port.
type gatewayPort struct {
	in     GatewayInput
	name   string
	first  server
	chains []*listener.FilterChain
}

// add takes a server in. Plain HTTP servers share one chain and one route.
func (p *gatewayPort) add(s server) {
	switch s.kind {
	case plainRequests:
		if len(p.chains) == 0 {
			p.chains = append(p.chains, p.requests(s))
		}
	case tlsRequests:
		p.chains = append(p.chains, p.requests(s))
	case tlsBytes, plainBytes:
		p.chains = append(p.chains, p.bytes(s)...)
	case sealedBytes:
		p.chains = append(p.chains, p.sealed(s)...)
	}
}

// requests is the chain of a server that reads HTTP.
func (p *gatewayPort) requests(s server) *listener.FilterChain {
	c := &listener.FilterChain{Filters: []*listener.Filter{httpManager(httpInput{
		Audience: p.in.Audience, Side: edge, StatPrefix: "outbound_" + p.name, RouteName: s.routeName()})}}
	if s.kind == tlsRequests {
		p.seal(c, s)
	}
	return c
}

// seal has a chain end TLS for the server's hosts.
func (p *gatewayPort) seal(c *listener.FilterChain, s server) {
	if names := serverNames(s.hosts); len(names) > 0 {
		c.FilterChainMatch = &listener.FilterChainMatch{ServerNames: names}
	}
	c.TransportSocket = gatewayTLS(s.spec, p.in.Mesh)
	c.TransportSocketConnectTimeout = seconds(15)
}

// bytes are the chains of a server that carries TCP, ending TLS first where
// it has any.
func (p *gatewayPort) bytes(s server) []*listener.FilterChain {
	var out []*listener.FilterChain
	for _, in := range s.rules(p.in) {
		for _, c := range in.tcpChains(edge) {
			if s.kind == tlsBytes {
				p.seal(c, s)
			}
			out = append(out, c)
		}
	}
	return out
}

// sealed are the chains of a server that routes TLS by server name.
func (p *gatewayPort) sealed(s server) []*listener.FilterChain {
	var out []*listener.FilterChain
	for _, in := range s.rules(p.in) {
		for _, c := range in.tlsChains(edge) {
			if s.covers(c.FilterChainMatch.GetServerNames()) {
				out = append(out, c)
			}
		}
		if len(in.VirtualService.Spec.GetTls()) > 0 {
			continue
		}
		for _, c := range in.tcpChains(edge) {
			if names := serverNames(serverHosts(s.spec)); len(names) > 0 {
				c.FilterChainMatch = &listener.FilterChainMatch{ServerNames: names, PrefixRanges: c.FilterChainMatch.GetPrefixRanges()}
			}
			out = append(out, c)
		}
	}
	return out
}

// covers reports whether all names are among the server's hosts.
func (s server) covers(names []string) bool {
	for _, n := range names {
		if !slices.ContainsFunc(serverHosts(s.spec), func(h string) bool { return model.Host(h).Matches(model.Host(n)) }) {
			return false
		}
	}
	return true
}

// rules are the VirtualServices bound to the server, as it sees them.
func (s server) rules(in GatewayInput) []routeInput {
	var out []routeInput
	a := in.Audience
	a.Type, a.Gateway = mesh.Router, s.gateway.Key()
	for _, vs := range in.VirtualServices {
		if slices.Contains(vs.Gateways, a.Gateway) && len(s.hostsFor(vs)) > 0 {
			out = append(out, routeInput{Audience: a, Port: s.spec.GetPort().GetNumber(), VirtualService: vs, Destinations: in.Destinations})
		}
	}
	return out
}

// listener assembles the port; nil when nothing is routed there.
func (p *gatewayPort) listener() *listener.Listener {
	if len(p.chains) == 0 {
		return nil
	}
	l := &listener.Listener{
		Name:             p.name,
		Address:          socket(p.first.bind, p.first.port),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
		AccessLog:        listenerLog(p.in.Mesh),
		FilterChains:     distinctChains(p.chains),
	}
	inspect(p.in.Audience, l)
	if p.first.kind != plainRequests && p.first.kind != plainBytes && len(l.ListenerFilters) == 0 {
		l.ListenerFilters = append(l.ListenerFilters, inspectTLS())
		detectionTimeout(p.in.Audience, l)
	}
	return l
}

// routeName is the route that a server's requests are routed by: shared by
// all plain HTTP servers of a port, each HTTPS server's own.
func (s server) routeName() string {
	bind := ""
	if s.bind != wildcard {
		bind = "." + s.bind
	}
	if s.kind == plainRequests {
		return fmt.Sprintf("http.%d%s", s.port, bind)
	}
	p := s.spec.GetPort()
	return fmt.Sprintf("https.%d.%s.%s.%s%s", p.GetNumber(), p.GetName(), s.gateway.Name, s.gateway.Namespace, bind)
}

// serverHosts are a server's hosts without their namespaces.
func serverHosts(s *networking.Server) []string {
	var out []string
	for _, h := range s.GetHosts() {
		if _, name, ok := strings.Cut(h, "/"); ok {
			h = name
		}
		out = append(out, strings.ToLower(h))
	}
	return sorted(out)
}

// hostsFor are the names that both a server and a VirtualService have, the
// narrower of each pair, sorted.
func (s server) hostsFor(vs *mesh.VirtualService) []string {
	var out []string
	for _, h := range s.spec.GetHosts() {
		namespace, name, ok := strings.Cut(h, "/")
		if !ok {
			namespace, name = "*", h
		}
		if namespace == "." {
			namespace = s.gateway.Namespace
		}
		if namespace != "*" && namespace != vs.Namespace {
			continue
		}
		ours := model.Host(strings.ToLower(name))
		for _, theirs := range vs.Hosts {
			switch {
			case ours.Matches(theirs):
				out = append(out, string(theirs))
			case theirs.Matches(ours):
				out = append(out, string(ours))
			}
		}
	}
	return sorted(out)
}
