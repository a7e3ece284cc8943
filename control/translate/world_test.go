package translate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// world is a small mesh as tests write it down: a proxy, services with their
// endpoints, and users' objects.
type world struct {
	audience  Audience
	locality  model.Locality
	services  []*model.Service
	endpoints map[model.Host][]model.Endpoint
	rules     map[model.Host]*mesh.DestinationRule
	virtual   []*mesh.VirtualService
	gateways  []*mesh.Gateway
	targets   map[uint32]uint32
	inbound   InboundInput
}

// object is any document of a story.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     json.RawMessage
}

// serviceSpec is a service in the words of the model.
type serviceSpec struct {
	Host       string
	Addresses  []string
	Resolution string // STATIC, DNS, NONE
	External   bool
	Accounts   []string
	Ports      []struct {
		Name         string
		Number       uint32
		Protocol     string
		Target, Node uint32
	}
	Endpoints []struct {
		Address, Account, Locality, Workload string
		Labels                               map[string]string
		MTLS                                 *bool
		Weight                               uint32
	}
}

// proxySpec is the proxy that a story is told for.
type proxySpec struct {
	Type, Namespace, Locality string
	Labels                    map[string]string
	Stock                     bool
	HTTPProxyPort             uint32
	Targets                   map[uint32]uint32 // of a gateway's Service
	Inbound                   []struct {
		Service string // host
		Port    uint32
		MTLS    string
	}
	MTLS string
	Mesh json.RawMessage
}

func newWorld(t *testing.T, documents string) *world {
	t.Helper()
	w := &world{endpoints: map[model.Host][]model.Endpoint{}, rules: map[model.Host]*mesh.DestinationRule{}}
	w.audience = Audience{Mesh: &mesh.Config{}, Type: mesh.Sidecar, Namespace: "default", Istio: true}
	var proxy proxySpec
	for i, doc := range strings.Split(documents, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var o object
		must(t, yaml.Unmarshal([]byte(doc), &o))
		meta := mesh.Meta{Kind: o.Kind, Namespace: cmp.Or(o.Metadata.Namespace, "default"), Name: o.Metadata.Name,
			Created: time.Unix(int64(1000+i), 0)}
		switch o.Kind {
		case "Proxy":
			must(t, json.Unmarshal(o.Spec, &proxy))
		case "Service":
			w.addService(t, meta, o.Spec)
		case "VirtualService":
			w.addVirtualService(t, meta, o.Spec)
		case "DestinationRule":
			r := &mesh.DestinationRule{Meta: meta, Spec: &networking.DestinationRule{}}
			must(t, r.Spec.UnmarshalJSON(o.Spec))
			r.Host = model.FQDN(r.Spec.Host, meta.Namespace, "cluster.local")
			w.rules[r.Host] = r
		case "Gateway":
			g := &mesh.Gateway{Meta: meta, Spec: &networking.Gateway{}}
			must(t, g.Spec.UnmarshalJSON(o.Spec))
			w.gateways = append(w.gateways, g)
		default:
			t.Fatalf("unknown kind %q", o.Kind)
		}
	}
	w.setProxy(t, proxy)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) addService(t *testing.T, meta mesh.Meta, spec json.RawMessage) {
	var s serviceSpec
	must(t, json.Unmarshal(spec, &s))
	svc := &model.Service{Name: meta.Name, Namespace: meta.Namespace, Created: meta.Created, External: s.External,
		Host: model.Host(s.Host), Kubernetes: s.Host == "", Addresses: s.Addresses}
	if svc.Kubernetes {
		svc.Host = model.FQDN(meta.Name, meta.Namespace, "cluster.local")
	}
	svc.Resolution = map[string]model.Resolution{"DNS": model.ResolveDNS, "NONE": model.ResolveNone}[s.Resolution]
	for _, p := range s.Ports {
		name := cmp.Or(p.Name, strings.ToLower(p.Protocol))
		svc.Ports = append(svc.Ports, model.Port{Name: name, Number: p.Number, Protocol: model.ParseProtocol(p.Protocol), Target: cmp.Or(p.Target, p.Number)})
		for _, e := range s.Endpoints {
			ep := model.Endpoint{Address: e.Address, Port: cmp.Or(p.Target, p.Number), PortName: name, Labels: e.Labels,
				MTLS: e.MTLS == nil || *e.MTLS, Weight: e.Weight, Workload: e.Workload, Namespace: meta.Namespace}
			if e.Locality != "" {
				ep.Locality = model.ParseLocality(e.Locality)
			}
			if e.Account != "" {
				ep.Identity = model.Identity{TrustDomain: "cluster.local", Namespace: meta.Namespace, ServiceAccount: e.Account}
			}
			w.endpoints[svc.Host] = append(w.endpoints[svc.Host], ep)
		}
	}
	w.services = append(w.services, svc)
}

// addVirtualService brings a rule into normal form, as far as stories need.
func (w *world) addVirtualService(t *testing.T, meta mesh.Meta, spec json.RawMessage) {
	vs := &mesh.VirtualService{Meta: meta, Spec: &networking.VirtualService{}}
	must(t, vs.Spec.UnmarshalJSON(spec))
	full := func(host string) string { return string(model.FQDN(host, meta.Namespace, "cluster.local")) }
	for _, h := range vs.Spec.Hosts {
		vs.Hosts = append(vs.Hosts, model.Host(full(h)))
	}
	for _, g := range vs.Spec.Gateways {
		if g != "mesh" && !strings.Contains(g, "/") {
			g = meta.Namespace + "/" + g
		}
		vs.Gateways = append(vs.Gateways, g)
	}
	fix := func(d *networking.Destination) {
		if d != nil {
			d.Host = full(d.Host)
		}
	}
	for _, h := range vs.Spec.Http {
		for _, r := range h.Route {
			fix(r.Destination)
		}
		fix(h.Mirror)
		for _, m := range h.Mirrors {
			fix(m.Destination)
		}
	}
	for _, r := range vs.Spec.Tls {
		for _, d := range r.Route {
			fix(d.Destination)
		}
	}
	for _, r := range vs.Spec.Tcp {
		for _, d := range r.Route {
			fix(d.Destination)
		}
	}
	w.virtual = append(w.virtual, vs)
}

var modes = map[string]mesh.MTLS{"STRICT": mesh.Strict, "DISABLE": mesh.Disable}

func (w *world) setProxy(t *testing.T, p proxySpec) {
	a := &w.audience
	a.Namespace, a.Type = cmp.Or(p.Namespace, "default"), mesh.ProxyType(cmp.Or(p.Type, "sidecar"))
	a.Labels, a.Istio, a.HTTPProxyPort = p.Labels, !p.Stock, p.HTTPProxyPort
	if p.Locality != "" {
		w.locality = model.ParseLocality(p.Locality)
	}
	if len(p.Mesh) > 0 {
		must(t, a.Mesh.UnmarshalJSON(p.Mesh))
	}
	w.targets = p.Targets
	w.inbound = InboundInput{Audience: *a, MTLS: modes[p.MTLS]}
	for _, in := range p.Inbound {
		for _, s := range w.services {
			if port, ok := s.Port(in.Port); ok && s.Host == model.FQDN(in.Service, a.Namespace, "cluster.local") {
				w.inbound.Ports = append(w.inbound.Ports, InboundPort{Service: s, Port: port, Target: port.Target,
					MTLS: modes[in.MTLS], Rule: w.rules[s.Host]})
			}
		}
	}
}

func (w *world) destinations() Destinations {
	out := Destinations{}
	for _, s := range w.services {
		out[s.Host] = Destination{Service: s, Rule: w.rules[s.Host]}
	}
	return out
}

func (w *world) virtualService(host model.Host) *mesh.VirtualService {
	for _, vs := range w.virtual {
		if vs.Mesh() && slices.ContainsFunc(vs.Hosts, func(h model.Host) bool { return h.Matches(host) }) {
			return vs
		}
	}
	return nil
}

func (w *world) clusters() []*cluster.Cluster {
	out := BuiltinClusters(w.audience)
	for _, s := range w.services {
		in := ServiceInput{Audience: w.audience, Service: s, Rule: w.rules[s.Host], Endpoints: w.endpoints[s.Host]}
		for _, e := range in.Endpoints {
			if !e.Identity.IsZero() {
				in.Accounts = append(in.Accounts, e.Identity.String())
			}
		}
		out = append(out, OutboundClusters(in)...)
	}
	if w.audience.Type == mesh.Sidecar {
		out = append(out, InboundClusters(w.inbound)...)
	}
	return out
}

func (w *world) loads() []*endpoint.ClusterLoadAssignment {
	var out []*endpoint.ClusterLoadAssignment
	for _, s := range w.services {
		for _, p := range s.Ports {
			in := EndpointsInput{Audience: w.audience, Service: s, Port: p, Rule: w.rules[s.Host], Endpoints: w.endpoints[s.Host], Locality: w.locality}
			out = append(out, Endpoints(in))
			for _, subset := range subsets(in.Rule) {
				in.Subset = subset.Name
				out = append(out, Endpoints(in))
			}
		}
	}
	return out
}

// portNumbers are the ports of all services.
func (w *world) portNumbers() []uint32 {
	var out []uint32
	for _, s := range w.services {
		for _, p := range s.Ports {
			out = append(out, p.Number)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (w *world) port(number uint32) PortInput {
	in := PortInput{Audience: w.audience, Port: number}
	for _, s := range w.services {
		ps := PortService{Service: s, Rule: w.rules[s.Host], VirtualService: w.virtualService(s.Host), Destinations: w.destinations()}
		for _, e := range w.endpoints[s.Host] {
			ps.Addresses = append(ps.Addresses, e.Address)
		}
		in.Services = append(in.Services, ps)
	}
	return in
}

func (w *world) gatewayInput() GatewayInput {
	return GatewayInput{Audience: w.audience, Gateways: w.gateways, Targets: w.targets, VirtualServices: w.virtual, Destinations: w.destinations()}
}

func (w *world) listeners() []*listener.Listener {
	if w.audience.Type == mesh.Router {
		out, _ := GatewayListeners(w.gatewayInput())
		return out
	}
	out := []*listener.Listener{VirtualOutbound(w.audience), InboundListener(w.inbound)}
	if l := HTTPProxyListener(w.audience); l != nil {
		out = append(out, l)
	}
	for _, p := range w.portNumbers() {
		out = append(out, OutboundListeners(w.port(p))...)
	}
	return out
}

func (w *world) routes() []*route.RouteConfiguration {
	if w.audience.Type == mesh.Router {
		return GatewayRoutes(w.gatewayInput())
	}
	var out []*route.RouteConfiguration
	var all []*route.VirtualHost
	for _, number := range w.portNumbers() {
		for _, name := range RouteNames(w.port(number)) {
			out = append(out, OutboundRoute(w.audience, name, w.hosts(number, name)))
		}
		all = append(all, w.hosts(number, HTTPProxyRoute)...)
	}
	if w.audience.HTTPProxyPort != 0 {
		out = append(out, OutboundRoute(w.audience, HTTPProxyRoute, all))
	}
	return out
}

func (w *world) hosts(port uint32, name string) []*route.VirtualHost {
	var out []*route.VirtualHost
	for _, s := range w.services {
		p, ok := s.Port(port)
		if !ok || p.Protocol.IsTCP() || strings.Contains(name, ":") && name != SniffedRoute(s.Host, port) {
			continue
		}
		out = append(out, VirtualHost(HostInput{Audience: w.audience, Service: s, Port: port, Route: name,
			VirtualService: w.virtualService(s.Host), Destinations: w.destinations()}))
	}
	return out
}

// problems are what the gateways' owners are told.
func (w *world) problems() string {
	_, problems := GatewayListeners(w.gatewayInput())
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Object, p.Text)
	}
	return b.String()
}
