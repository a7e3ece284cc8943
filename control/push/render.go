package push

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// render holds the resources, each made on demand and kept while any class
// needs it.
type render struct {
	*Stage
	identities *collection.Collection[[]model.Identity]
	visible    *collection.Collection[[]*model.Service]
	// obeyed is the rule of a client's namespace for a service, by their names.
	obeyed *collection.Collection[*mesh.DestinationRule]
	// choices lists, by client, the choice for each service that it sees.
	choices *collection.Collection[[]string]
	// By client: the parts of a table that all classes of the client share.
	outboundClusters  *collection.Collection[[]*mesh.Resource]
	outboundEndpoints *collection.Collection[*mesh.Table]
	outboundListeners *collection.Collection[[]*mesh.Resource]
	outboundRoutes    *collection.Collection[[]*mesh.Resource]
	// tables by slot.
	tables *collection.Collection[*mesh.Table]
}

// choice is a service under the rule that a client obeys; its text is a key.
type choice struct {
	Service, Rule string
	Type          mesh.ProxyType
	Istio         bool
	Proxyless     bool
	HTTPProxyPort uint32
}

func newRender(g *collection.Graph, s *Stage) *render {
	r := &render{Stage: s}
	r.identities = collection.Derive(s.in.Endpoints, "push/identities", slices.Equal[[]model.Identity],
		func(_ *collection.Ctx, _ string, all map[uint32][]model.Endpoint) ([]model.Identity, bool) {
			return identitiesOf(all), true
		})
	r.visible = collection.Demand(g, "push/visible", slices.Equal[[]*model.Service], r.visibleTo)
	r.obeyed = collection.Demand(g, "push/obeyed", collection.Same[*mesh.DestinationRule], func(ctx *collection.Ctx, key string) (*mesh.DestinationRule, bool) {
		names := strings.SplitN(key, "/", 3)
		dr := s.in.Rules.DestinationRule(ctx, names[0], names[1], model.Host(names[2]))
		return dr, dr != nil
	})
	r.choices = collection.Demand(g, "push/choices", slices.Equal[[]string], r.choicesOf)
	s.clusters = collection.Demand(g, "push/clusters", sameResources, r.clustersOf).Heavy()
	s.loads = collection.Demand(g, "push/endpoints", sameResources, r.loadsOf).Heavy()
	r.outboundClusters = collection.Demand(g, "push/outboundclusters", sameResources, r.clustersFor)
	r.outboundEndpoints = collection.Demand(g, "push/outboundendpoints", sameTable, r.endpointsFor)
	r.outboundListeners = collection.Demand(g, "push/outboundlisteners", sameResources, r.listenersFor).Heavy()
	r.outboundRoutes = collection.Demand(g, "push/outboundroutes", sameResources, r.routesFor).Heavy()
	r.tables = collection.Demand(g, "push/tables", sameTable, r.table).Heavy()
	return r
}

func identitiesOf(all map[uint32][]model.Endpoint) []model.Identity {
	set := map[model.Identity]bool{}
	for _, list := range all {
		for _, e := range list {
			if !e.Identity.IsZero() {
				set[e.Identity] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b model.Identity) int { return cmp.Compare(a.String(), b.String()) })
}

// visibleTo lists the services that proxies of a namespace see, oldest first:
// of several with one host their own namespace's, then a Kubernetes one, then
// the oldest.
func (r *render) visibleTo(ctx *collection.Ctx, namespace string) ([]*model.Service, bool) {
	best := map[model.Host]*model.Service{}
	for _, s := range collection.All(ctx, r.in.Services) {
		if !s.VisibleTo(namespace) || s.Alias != "" {
			continue
		}
		if old := best[s.Host]; old == nil || preferred(s, old, namespace) {
			best[s.Host] = s
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b *model.Service) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Host, b.Host))
	}), true
}

func preferred(a, b *model.Service, namespace string) bool {
	if own := a.Namespace == namespace; own != (b.Namespace == namespace) {
		return own
	}
	if a.Kubernetes != b.Kubernetes {
		return a.Kubernetes
	}
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Namespace, b.Namespace)) < 0
}

func (r *render) rule(ctx *collection.Ctx, client mesh.Client, s *model.Service) *mesh.DestinationRule {
	dr, _ := collection.Get(ctx, r.obeyed, client.Namespace+"/"+s.Namespace+"/"+string(s.Host))
	return dr
}

// choose writes down which service under which rule a client gets.
func (r *render) choose(ctx *collection.Ctx, client mesh.Client, s *model.Service) string {
	c := choice{Service: serviceKey(s), Type: client.Type, Istio: client.Istio, Proxyless: client.Proxyless, HTTPProxyPort: client.HTTPProxyPort}
	if dr := r.rule(ctx, client, s); dr != nil {
		c.Rule = dr.Namespace + "/" + string(dr.Host)
	}
	return keyOf(c)
}

func (r *render) choicesOf(ctx *collection.Ctx, key string) ([]string, bool) {
	client := clientOf(key)
	visible, _ := collection.Get(ctx, r.visible, client.Namespace)
	out := make([]string, len(visible))
	for i, s := range visible {
		out[i] = r.choose(ctx, client, s)
	}
	return out, true
}

// chosen reads what choose wrote.
func (r *render) chosen(ctx *collection.Ctx, key string) (c choice, s *model.Service, dr *mesh.DestinationRule, ok bool) {
	mustRead(key, &c)
	s, ok = collection.Get(ctx, r.in.Services, c.Service)
	if c.Rule != "" {
		dr, _ = collection.Get(ctx, r.in.DestinationRules, c.Rule)
	}
	return c, s, dr, ok
}

func (r *render) clustersOf(ctx *collection.Ctx, key string) ([]*mesh.Resource, bool) {
	c, s, dr, ok := r.chosen(ctx, key)
	if !ok {
		return nil, false
	}
	up := mesh.Upstream{Service: s, Rule: dr}
	up.Identities, _ = collection.Get(ctx, r.identities, c.Service)
	if resolvedByDNS(s) {
		up.Inline = r.endpoints(ctx, c.Service)
	}
	client := mesh.Client{Type: c.Type, Istio: c.Istio, Proxyless: c.Proxyless, HTTPProxyPort: c.HTTPProxyPort, DomainSuffix: r.in.DomainSuffix}
	var out []*mesh.Resource
	for _, m := range r.in.Translation.OutboundClusters(r.mesh(ctx), client, up) {
		out = r.resource(out, m.GetName(), mesh.ClusterType, m, from(s, dr))
	}
	return out, true
}

func (r *render) loadsOf(ctx *collection.Ctx, key string) ([]*mesh.Resource, bool) {
	c, s, dr, ok := r.chosen(ctx, key)
	if !ok || resolvedByDNS(s) {
		return nil, ok // the endpoints are in the cluster itself
	}
	var out []*mesh.Resource
	for _, m := range r.in.Translation.Endpoints(r.mesh(ctx), mesh.Load{Service: s, Rule: dr, Endpoints: r.endpoints(ctx, c.Service)}) {
		if m != nil {
			out = r.resource(out, m.GetClusterName(), mesh.EndpointType, m, from(s, dr))
		}
	}
	return out, true
}

func resolvedByDNS(s *model.Service) bool {
	return s.Resolution == model.ResolveDNS || s.Resolution == model.ResolveDNSRoundRobin
}

// endpoints of a service, as callers may reach them: mutual TLS only where the
// workload takes it.
func (r *render) endpoints(ctx *collection.Ctx, service string) map[uint32][]model.Endpoint {
	all, _ := collection.Get(ctx, r.in.Endpoints, service)
	out := make(map[uint32][]model.Endpoint, len(all))
	for port, list := range all {
		own := slices.Clone(list)
		for i, e := range own {
			if !e.MTLS {
				continue
			}
			mode, ports := r.in.Rules.MTLS(ctx, e.Namespace, e.Labels)
			if m, ok := ports[e.Port]; ok {
				mode = m
			}
			own[i].MTLS = mode != mesh.Disable
		}
		out[port] = own
	}
	return out
}

func (r *render) clustersFor(ctx *collection.Ctx, key string) ([]*mesh.Resource, bool) {
	client := clientOf(key)
	var out []*mesh.Resource
	for _, m := range r.in.Translation.BuiltinClusters(r.mesh(ctx), client) {
		out = r.resource(out, m.GetName(), mesh.ClusterType, m, nil)
	}
	choices, _ := collection.Get(ctx, r.choices, key)
	for _, c := range choices {
		rs, _ := collection.Get(ctx, r.clusters, c)
		out = append(out, rs...)
	}
	return out, true
}

func (r *render) endpointsFor(ctx *collection.Ctx, key string) (*mesh.Table, bool) {
	choices, _ := collection.Get(ctx, r.choices, key)
	var out []*mesh.Resource
	for _, c := range choices {
		rs, _ := collection.Get(ctx, r.loads, c)
		out = append(out, rs...)
	}
	return mesh.NewTable(out), true
}

// outbound gathers what a client's outbound side is made of.
func (r *render) outbound(ctx *collection.Ctx, client mesh.Client) mesh.OutboundInput {
	in := mesh.OutboundInput{Mesh: r.mesh(ctx), Client: client, Lookup: r.lookup(ctx, client)}
	visible, _ := collection.Get(ctx, r.visible, client.Namespace)
	for _, s := range visible {
		in.Services = append(in.Services, mesh.Routed{Service: s, VirtualService: r.in.Rules.VirtualService(ctx, client.Namespace, s.Host)})
	}
	in.Hosts = collection.Select(ctx, r.in.VirtualServices, func(_ string, vs *mesh.VirtualService) bool {
		return vs.Mesh() && model.Exported(vs.Spec.GetExportTo(), vs.Namespace, client.Namespace)
	})
	in.Hosts = slices.DeleteFunc(in.Hosts, func(vs *mesh.VirtualService) bool {
		return !slices.ContainsFunc(vs.Hosts, func(h model.Host) bool { return in.Lookup.Service(h) == nil })
	})
	slices.SortStableFunc(in.Hosts, func(a, b *mesh.VirtualService) int { return mesh.Older(a.Meta, b.Meta) })
	return in
}

// lookup answers for one client.
func (r *render) lookup(ctx *collection.Ctx, client mesh.Client) mesh.Lookup {
	service := func(host model.Host) *model.Service {
		list, _ := collection.Get(ctx, r.in.ByHost, string(host))
		var best *model.Service
		for _, s := range list {
			if s.VisibleTo(client.Namespace) && (best == nil || preferred(s, best, client.Namespace)) {
				best = s
			}
		}
		return best
	}
	rule := func(host model.Host) *mesh.DestinationRule {
		if s := service(host); s != nil {
			return r.rule(ctx, client, s)
		}
		return nil
	}
	addresses := func(s *model.Service, port uint32) []string {
		all, _ := collection.Get(ctx, r.in.Endpoints, serviceKey(s))
		var out []string
		for _, e := range all[port] {
			out = append(out, e.Address)
		}
		return out
	}
	return mesh.Lookup{Service: service, Rule: rule, Addresses: addresses}
}

func (r *render) listenersFor(ctx *collection.Ctx, key string) ([]*mesh.Resource, bool) {
	in := r.outbound(ctx, clientOf(key))
	return r.listeners(nil, r.in.Translation.OutboundListeners(in), in.Services), true
}

func (r *render) routesFor(ctx *collection.Ctx, key string) ([]*mesh.Resource, bool) {
	in := r.outbound(ctx, clientOf(key))
	var out []*mesh.Resource
	for _, m := range r.in.Translation.OutboundRoutes(in) {
		out = r.resource(out, m.GetName(), mesh.RouteType, m, routeSources(m, in))
	}
	return out, true
}

func (r *render) listeners(out []*mesh.Resource, list []*listener.Listener, routed []mesh.Routed) []*mesh.Resource {
	for _, m := range list {
		if m == nil {
			continue
		}
		var metas []mesh.Meta
		port := m.GetAddress().GetSocketAddress().GetPortValue()
		for _, s := range routed {
			if _, ok := s.Service.Port(port); ok {
				metas = append(metas, from(s.Service, nil)...)
				if s.VirtualService != nil {
					metas = append(metas, s.VirtualService.Meta)
				}
			}
		}
		out = r.resource(out, m.GetName(), mesh.ListenerType, m, unique(metas))
	}
	return out
}

// routeSources are the VirtualServices behind a route: those of the services
// that share its port.
func routeSources(m *route.RouteConfiguration, in mesh.OutboundInput) []mesh.Meta {
	text := m.GetName()[strings.LastIndex(m.GetName(), ":")+1:]
	port, err := strconv.ParseUint(text, 10, 32)
	var out []mesh.Meta
	for _, s := range in.Services {
		_, has := s.Service.Port(uint32(port))
		if s.VirtualService != nil && (err != nil || has) {
			out = append(out, s.VirtualService.Meta)
		}
	}
	for _, vs := range in.Hosts {
		out = append(out, vs.Meta)
	}
	return unique(out)
}

func from(s *model.Service, dr *mesh.DestinationRule) []mesh.Meta {
	kind := "ServiceEntry"
	if s.Kubernetes {
		kind = "Service"
	}
	out := []mesh.Meta{{Kind: kind, Namespace: s.Namespace, Name: s.Name, Created: s.Created}}
	if dr != nil {
		out = append(out, dr.Meta)
	}
	return out
}

// unique keeps the first of each object.
func unique(list []mesh.Meta) []mesh.Meta {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(m mesh.Meta) bool {
		k := m.String()
		defer func() { seen[k] = true }()
		return seen[k]
	})
}

func clientOf(key string) mesh.Client {
	var c mesh.Client
	mustRead(key, &c)
	return c
}

func mustRead(key string, into any) {
	if err := json.Unmarshal([]byte(key), into); err != nil {
		panic("push: key " + key + " cannot be read: " + err.Error()) // only keyOf makes keys
	}
}

func serviceKey(s *model.Service) string { return s.Namespace + "/" + string(s.Host) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
