package push

import (
	"slices"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// slot is one table of one class; its text is a key.
type slot struct {
	Type  string
	Class Class
}

// tablesOf is what a class gets. A table that did not change stays the same.
func (r *render) tablesOf(ctx *collection.Ctx, c Class) map[string]*mesh.Table {
	endpoints, _ := collection.Get(ctx, r.outboundEndpoints, keyOf(c.Client))
	out := map[string]*mesh.Table{mesh.EndpointType: endpoints}
	types := []string{mesh.ClusterType, mesh.ListenerType, mesh.RouteType}
	if c.Client.Type == mesh.Router {
		types = append(types, mesh.SecretType)
	}
	for _, t := range types {
		out[t], _ = collection.Get(ctx, r.tables, keyOf(slot{t, c}))
	}
	return out
}

// table puts one table of one class together.
func (r *render) table(ctx *collection.Ctx, key string) (*mesh.Table, bool) {
	var of slot
	mustRead(key, &of)
	if of.Class.Client.Type == mesh.Router {
		return mesh.NewTable(r.gatewayResources(ctx, of)), true
	}
	return mesh.NewTable(r.sidecarResources(ctx, of)), true
}

func (r *render) sidecarResources(ctx *collection.Ctx, of slot) []*mesh.Resource {
	client := keyOf(of.Class.Client)
	switch of.Type {
	case mesh.ClusterType:
		shared, _ := collection.Get(ctx, r.outboundClusters, client)
		return append(slices.Clone(shared), r.inboundClusters(r.inbound(ctx, of.Class))...)
	case mesh.ListenerType:
		shared, _ := collection.Get(ctx, r.outboundListeners, client)
		return r.listeners(slices.Clone(shared), r.in.Translation.InboundListeners(r.inbound(ctx, of.Class)), nil)
	}
	shared, _ := collection.Get(ctx, r.outboundRoutes, client)
	return slices.Clone(shared)
}

func (r *render) gatewayResources(ctx *collection.Ctx, of slot) []*mesh.Resource {
	switch of.Type {
	case mesh.ClusterType:
		shared, _ := collection.Get(ctx, r.outboundClusters, keyOf(of.Class.Client))
		return slices.Clone(shared)
	case mesh.ListenerType:
		return r.gatewayListeners(r.gateway(ctx, of.Class))
	case mesh.SecretType:
		return r.gatewaySecrets(ctx, of.Class, r.gateway(ctx, of.Class))
	}
	return r.gatewayRoutes(r.gateway(ctx, of.Class))
}

// inbound gathers what a class's inbound side is made of.
func (r *render) inbound(ctx *collection.Ctx, c Class) mesh.InboundInput {
	in := mesh.InboundInput{Mesh: r.mesh(ctx), Client: c.Client, MTLS: c.MTLS, PortMTLS: c.PortMTLS}
	for _, t := range c.Targets {
		s, ok := collection.Get(ctx, r.in.Services, t.Service)
		if !ok {
			continue
		}
		port, ok := s.Port(t.Port)
		if !ok {
			continue
		}
		mode, own := c.PortMTLS[t.Number]
		if !own {
			mode = c.MTLS
		}
		in.Targets = append(in.Targets, mesh.Target{Service: s, Port: port, Number: t.Number, MTLS: mode, Rule: r.rule(ctx, c.Client, s)})
	}
	return in
}

func (r *render) inboundClusters(in mesh.InboundInput) []*mesh.Resource {
	var out []*mesh.Resource
	for _, m := range r.in.Translation.InboundClusters(in) {
		out = r.resource(out, m.GetName(), mesh.ClusterType, m, nil)
	}
	return out
}

// gateway gathers what a gateway's listeners and routes are made of.
func (r *render) gateway(ctx *collection.Ctx, c Class) mesh.GatewayInput {
	in := mesh.GatewayInput{Mesh: r.mesh(ctx), Client: c.Client, Lookup: r.lookup(ctx, c.Client)}
	bound := map[string]bool{}
	for _, key := range c.Gateways {
		g, ok := collection.Get(ctx, r.in.Gateways, key)
		if !ok {
			continue
		}
		for i, s := range g.Spec.GetServers() {
			number := s.GetPort().GetNumber()
			if target, ok := c.Ports[number]; ok {
				number = target
			}
			in.Servers = append(in.Servers, mesh.GatewayServer{Gateway: g, Index: i, Port: number})
		}
		list, _ := collection.Get(ctx, r.in.VirtualServicesByGateway, key)
		for _, vs := range list {
			if k := vs.Meta.String(); !bound[k] {
				bound[k] = true
				in.VirtualServices = append(in.VirtualServices, vs)
			}
		}
	}
	slices.SortStableFunc(in.VirtualServices, func(a, b *mesh.VirtualService) int { return mesh.Older(a.Meta, b.Meta) })
	return in
}

func (r *render) gatewayListeners(in mesh.GatewayInput) []*mesh.Resource {
	var metas []mesh.Meta
	for _, s := range in.Servers {
		metas = append(metas, s.Gateway.Meta)
	}
	metas = unique(metas)
	var out []*mesh.Resource
	list, _ := r.in.Translation.GatewayListeners(in)
	for _, m := range list {
		out = r.resource(out, m.GetName(), mesh.ListenerType, m, metas)
	}
	return out
}

// problems derives what gateways leave out, by object.
func (r *render) problems(classes *collection.Collection[Class]) *collection.Collection[[]mesh.Problem] {
	perClass := collection.Derive(classes, "push/leftout", collection.Deep[[]mesh.Problem], func(ctx *collection.Ctx, _ string, c Class) ([]mesh.Problem, bool) {
		if len(c.Gateways) == 0 {
			return nil, false
		}
		_, left := r.in.Translation.GatewayListeners(r.gateway(ctx, c))
		return left, len(left) > 0
	})
	key := func(p mesh.Problem) string { return p.Object.Kind + "/" + p.Object.Namespace + "/" + p.Object.Name }
	byObject := collection.Group(perClass, "push/leftoutbyobject", func(_ string, list []mesh.Problem) []string {
		var keys []string
		for _, p := range list {
			keys = append(keys, key(p))
		}
		return keys
	})
	return collection.Derive(byObject, "push/problems", collection.Deep[[]mesh.Problem], func(_ *collection.Ctx, k string, lists [][]mesh.Problem) ([]mesh.Problem, bool) {
		var out []mesh.Problem
		for _, p := range slices.Concat(lists...) {
			known := slices.ContainsFunc(out, func(q mesh.Problem) bool { return q.Message == p.Message })
			if key(p) == k && !known {
				out = append(out, p)
			}
		}
		return out, true
	})
}

func (r *render) gatewayRoutes(in mesh.GatewayInput) []*mesh.Resource {
	var metas []mesh.Meta
	for _, vs := range in.VirtualServices {
		metas = append(metas, vs.Meta)
	}
	var out []*mesh.Resource
	for _, m := range r.in.Translation.GatewayRoutes(in) {
		out = r.resource(out, m.GetName(), mesh.RouteType, m, metas)
	}
	return out
}

// gatewaySecrets are the credentials that the gateway's servers name, from the
// proxy's own namespace.
func (r *render) gatewaySecrets(ctx *collection.Ctx, c Class, in mesh.GatewayInput) []*mesh.Resource {
	names := map[string]bool{}
	for _, s := range in.Servers {
		t := s.Gateway.Spec.GetServers()[s.Index].GetTls()
		for _, n := range append(slices.Clone(t.GetCredentialNames()), t.GetCredentialName(), t.GetCaCertCredentialName()) {
			if n != "" {
				names[n], names[n+"-cacert"] = true, true
			}
		}
	}
	var out []*mesh.Resource
	for _, n := range sorted(names) {
		secret, ok := collection.Get(ctx, r.in.Secrets, c.Client.Namespace+"/"+n)
		if !ok {
			continue
		}
		for _, m := range r.in.Translation.Secrets(secret) {
			out = r.resource(out, m.GetName(), mesh.SecretType, m, []mesh.Meta{{Kind: "Secret", Namespace: secret.Namespace, Name: secret.Name}})
		}
	}
	return out
}
