package control

import (
	"maps"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/push"
	"github.com/lateenmesh/lateen/control/translate"
	"github.com/lateenmesh/lateen/model"
)

// The functions here put what the push stage knows of a client into the narrow
// inputs of the translate stage.

func translation() push.Translation {
	return push.Translation{
		BuiltinClusters: builtinClusters, OutboundClusters: outboundClusters, Endpoints: loadAssignments,
		OutboundListeners: outboundListeners, OutboundRoutes: outboundRoutes, InboundListeners: inboundListeners,
		InboundClusters: inboundClusters, GatewayListeners: gatewayListeners, GatewayRoutes: gatewayRoutes, Secrets: secrets,
	}
}

func audience(m *mesh.Config, c mesh.Client) translate.Audience {
	return translate.Audience{
		Mesh: m, Type: c.Type, Namespace: c.Namespace, Labels: c.Labels, Istio: c.Istio, HTTPProxyPort: c.HTTPProxyPort,
	}
}

func builtinClusters(m *mesh.Config, c mesh.Client) []*cluster.Cluster {
	return translate.BuiltinClusters(audience(m, c))
}

func outboundClusters(m *mesh.Config, c mesh.Client, u mesh.Upstream) []*cluster.Cluster {
	in := translate.ServiceInput{Audience: audience(m, c), Service: u.Service, Rule: u.Rule}
	for _, id := range u.Identities {
		in.Accounts = append(in.Accounts, id.String())
	}
	for _, port := range slices.Sorted(maps.Keys(u.Inline)) {
		in.Endpoints = append(in.Endpoints, u.Inline[port]...)
	}
	return translate.OutboundClusters(in)
}

// loadAssignments are the endpoints of every cluster that a service has: one
// for each port and subset.
func loadAssignments(m *mesh.Config, l mesh.Load) []*endpoint.ClusterLoadAssignment {
	var out []*endpoint.ClusterLoadAssignment
	for _, port := range l.Service.Ports {
		if port.Protocol == model.UDP {
			continue
		}
		in := translate.EndpointsInput{
			Audience: translate.Audience{Mesh: m}, Service: l.Service, Port: port, Rule: l.Rule, Endpoints: l.Endpoints[port.Number],
		}
		out = append(out, translate.Endpoints(in))
		for _, subset := range subsetsOf(l.Rule) {
			in.Subset = subset
			out = append(out, translate.Endpoints(in))
		}
	}
	return out
}

func subsetsOf(rule *mesh.DestinationRule) []string {
	var names []string
	if rule != nil {
		for _, s := range rule.Spec.GetSubsets() {
			names = append(names, s.GetName())
		}
	}
	return names
}

// outbound is an OutboundInput on its way through the translate stage.
type outbound struct {
	mesh.OutboundInput
	audience translate.Audience
}

func newOutbound(in mesh.OutboundInput) outbound {
	return outbound{in, audience(in.Mesh, in.Client)}
}

func outboundListeners(in mesh.OutboundInput) []*listener.Listener {
	o := newOutbound(in)
	out := []*listener.Listener{translate.VirtualOutbound(o.audience)}
	if l := translate.HTTPProxyListener(o.audience); l != nil {
		out = append(out, l)
	}
	for _, port := range o.ports() {
		out = append(out, translate.OutboundListeners(o.port(port))...)
	}
	return out
}

// outboundRoutes are the routes that the outbound listeners ask for.
func outboundRoutes(in mesh.OutboundInput) []*routev3.RouteConfiguration {
	o := newOutbound(in)
	var out []*routev3.RouteConfiguration
	for _, port := range o.ports() {
		for _, name := range translate.RouteNames(o.port(port)) {
			out = append(out, translate.OutboundRoute(o.audience, name, o.hosts(name, port)))
		}
	}
	if o.audience.HTTPProxyPort != 0 {
		out = append(out, translate.OutboundRoute(o.audience, translate.HTTPProxyRoute, o.proxied()))
	}
	return out
}

// ports are those that any service has.
func (o outbound) ports() []uint32 {
	set := map[uint32]bool{}
	for _, s := range o.Services {
		for _, p := range s.Service.Ports {
			if p.Protocol != model.UDP {
				set[p.Number] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (o outbound) port(number uint32) translate.PortInput {
	in := translate.PortInput{Audience: o.audience, Port: number}
	for _, s := range o.Services {
		p, ok := s.Service.Port(number)
		if !ok || p.Protocol == model.UDP {
			continue
		}
		of := translate.PortService{
			Service: s.Service, Rule: o.Lookup.Rule(s.Service.Host), VirtualService: s.VirtualService,
			Destinations: destinations(o.Lookup, s.VirtualService),
		}
		if s.Service.Headless() && p.Protocol.IsTCP() && o.Lookup.Addresses != nil {
			of.Addresses = o.Lookup.Addresses(s.Service, number)
		}
		in.Services = append(in.Services, of)
	}
	return in
}

// hosts are the virtual hosts of one route: of a port's, or of one service
// whose protocol nobody declared.
func (o outbound) hosts(name string, port uint32) []*routev3.VirtualHost {
	var out hosts
	shared := name == translate.PortRoute(port)
	for _, s := range o.Services {
		p, ok := s.Service.Port(port)
		switch {
		case !ok:
		case shared && (p.Protocol.IsHTTP() || p.Protocol == model.Unset && len(s.Service.Addresses) == 0),
			!shared && name == translate.SniffedRoute(s.Service.Host, port):
			out.add(o.host(name, s.Service, "", port, s.VirtualService))
		}
	}
	if shared && port == 80 {
		o.strangers(name, &out)
	}
	return out
}

// proxied are the virtual hosts of the HTTP proxy's route: every host that the
// client sees, on every port that may speak HTTP.
func (o outbound) proxied() []*routev3.VirtualHost {
	var out hosts
	for _, s := range o.Services {
		for _, p := range s.Service.Ports {
			if p.Protocol.IsHTTP() || p.Protocol == model.Unset {
				out.add(o.host(translate.HTTPProxyRoute, s.Service, "", p.Number, s.VirtualService))
			}
		}
	}
	o.strangers(translate.HTTPProxyRoute, &out)
	return out
}

// strangers adds hosts that rules name and no service has; they are called on
// port 80.
func (o outbound) strangers(name string, out *hosts) {
	for _, vs := range o.Hosts {
		for _, host := range vs.Hosts {
			if o.Lookup.Service(host) == nil {
				out.add(o.host(name, nil, host, 80, vs))
			}
		}
	}
}

func (o outbound) host(name string, s *model.Service, host model.Host, port uint32, vs *mesh.VirtualService) *routev3.VirtualHost {
	to := destinations(o.Lookup, vs)
	if s != nil {
		to[s.Host] = translate.Destination{Service: s, Rule: o.Lookup.Rule(s.Host)}
	}
	return translate.VirtualHost(translate.HostInput{
		Audience: o.audience, Service: s, Host: host, Port: port, Route: name, VirtualService: vs, Destinations: to,
	})
}

// hosts collects virtual hosts; one without routes is nil and left out.
type hosts []*routev3.VirtualHost

func (h *hosts) add(v *routev3.VirtualHost) {
	if v != nil {
		*h = append(*h, v)
	}
}

// destinations resolves the hosts that rules send to.
func destinations(l mesh.Lookup, rules ...*mesh.VirtualService) translate.Destinations {
	out := translate.Destinations{}
	for _, vs := range rules {
		if vs == nil {
			continue
		}
		for _, host := range translate.DestinationHosts(vs) {
			if s := l.Service(host); s != nil {
				out[host] = translate.Destination{Service: s, Rule: l.Rule(host)}
			}
		}
	}
	return out
}

func inbound(in mesh.InboundInput) translate.InboundInput {
	out := translate.InboundInput{Audience: audience(in.Mesh, in.Client), MTLS: in.MTLS}
	for _, t := range in.Targets {
		out.Ports = append(out.Ports, translate.InboundPort{Service: t.Service, Port: t.Port, Target: t.Number, MTLS: t.MTLS, Rule: t.Rule})
	}
	for _, port := range slices.Sorted(maps.Keys(in.PortMTLS)) {
		if !slices.ContainsFunc(in.Targets, func(t mesh.Target) bool { return t.Number == port }) {
			out.Ports = append(out.Ports, translate.InboundPort{Target: port, MTLS: in.PortMTLS[port]})
		}
	}
	return out
}

func inboundListeners(in mesh.InboundInput) []*listener.Listener {
	return []*listener.Listener{translate.InboundListener(inbound(in))}
}

func inboundClusters(in mesh.InboundInput) []*cluster.Cluster {
	return translate.InboundClusters(inbound(in))
}

func gateway(in mesh.GatewayInput) translate.GatewayInput {
	out := translate.GatewayInput{
		Audience: audience(in.Mesh, in.Client), Targets: map[uint32]uint32{}, VirtualServices: in.VirtualServices,
		Destinations: destinations(in.Lookup, in.VirtualServices...),
	}
	for _, s := range in.Servers {
		if !slices.Contains(out.Gateways, s.Gateway) {
			out.Gateways = append(out.Gateways, s.Gateway)
		}
		out.Targets[s.Gateway.Spec.Servers[s.Index].GetPort().GetNumber()] = s.Port
	}
	return out
}

func gatewayListeners(in mesh.GatewayInput) ([]*listener.Listener, []mesh.Problem) {
	out, left := translate.GatewayListeners(gateway(in))
	var problems []mesh.Problem
	for _, p := range left {
		problems = append(problems, mesh.Problem{Object: p.Object, Severity: mesh.Warning, Field: "spec.servers", Message: p.Text})
	}
	return out, problems
}

func gatewayRoutes(in mesh.GatewayInput) []*routev3.RouteConfiguration {
	return translate.GatewayRoutes(gateway(in))
}

// secrets are the names under which a gateway may ask for a credential.
func secrets(s *mesh.Secret) []*tls.Secret {
	var out []*tls.Secret
	if len(s.Cert) > 0 {
		out = append(out, translate.GatewaySecret("kubernetes://"+s.Name, *s))
	}
	if len(s.CA) > 0 {
		name := strings.TrimSuffix(s.Name, "-cacert")
		out = append(out, translate.GatewaySecret("kubernetes://"+name+"-cacert", *s))
	}
	return out
}
