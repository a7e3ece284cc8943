package push

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Class is everything about a proxy that what it gets depends on. Proxies with
// equal classes get the same.
type Class struct {
	Client mesh.Client
	// Targets are the ports of a sidecar's workload that services lead to.
	Targets []target `json:",omitempty"`
	// MTLS is what a sidecar's workload asks of its callers, PortMTLS where a
	// port differs.
	MTLS     mesh.MTLS            `json:",omitempty"`
	PortMTLS map[uint32]mesh.MTLS `json:",omitempty"`
	// Gateways are those that select a gateway proxy, oldest first, and Ports
	// the pod's ports behind the numbers of its Service.
	Gateways []string          `json:",omitempty"`
	Ports    map[uint32]uint32 `json:",omitempty"`
}

// target is a port of a service that leads to a port of the workload.
type target struct {
	Service string // key
	Port    uint32 // the service's
	Number  uint32 // the workload's
}

// Key is a text that equal classes have in common.
func (c Class) Key() string { return keyOf(c) }

// keyOf writes a value as a key; maps come out sorted.
func keyOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("push: a key cannot be written: " + err.Error()) // plain structs always can
	}
	return string(text)
}

// classes derives each proxy's class, and the classes by their keys.
func (s *Stage) classes() (byProxy, byKey *collection.Collection[Class]) {
	asked := collection.Keys(collection.Group(s.in.VirtualServices, "push/sourcelabels",
		func(_ string, vs *mesh.VirtualService) []string { return sourceLabels(vs) }))
	services := collection.Group(s.in.Services, "push/servicesbynamespace",
		func(_ string, svc *model.Service) []string { return []string{svc.Namespace} })
	byProxy = collection.Derive(s.Proxies.Collection, "push/classofproxy", collection.Deep[Class],
		func(ctx *collection.Ctx, _ string, p mesh.Proxy) (Class, bool) {
			c := classifier{s, ctx, p, s.workload(ctx, p)}
			list, _ := collection.Get(ctx, services, p.Namespace)
			return c.class(asked, list), true
		})
	members := collection.Group(byProxy, "push/members", func(_ string, c Class) []string { return []string{c.Key()} })
	byKey = collection.Derive(members, "push/classes", collection.Deep[Class],
		func(_ *collection.Ctx, _ string, list []Class) (Class, bool) { return list[0], true })
	return byProxy, byKey
}

// sourceLabels are the keys that any of the rule's matches asks for.
func sourceLabels(vs *mesh.VirtualService) []string {
	set := map[string]bool{}
	add := func(labels map[string]string) {
		for k := range labels {
			set[k] = true
		}
	}
	for _, r := range vs.Spec.GetHttp() {
		for _, m := range r.GetMatch() {
			add(m.GetSourceLabels())
		}
	}
	for _, r := range vs.Spec.GetTls() {
		for _, m := range r.GetMatch() {
			add(m.GetSourceLabels())
		}
	}
	for _, r := range vs.Spec.GetTcp() {
		for _, m := range r.GetMatch() {
			add(m.GetSourceLabels())
		}
	}
	return sorted(set)
}

// workload is the registry's word about a proxy's pod; where it has none, the
// proxy's own.
func (s *Stage) workload(ctx *collection.Ctx, p mesh.Proxy) *model.Workload {
	if w, ok := collection.Get(ctx, s.in.Workloads, p.Namespace+"/"+p.Name); ok {
		return w
	}
	return &model.Workload{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels}
}

// classifier finds the class of one proxy.
type classifier struct {
	*Stage
	ctx *collection.Ctx
	p   mesh.Proxy
	w   *model.Workload
}

func (c classifier) class(asked *collection.Collection[struct{}], services []*model.Service) Class {
	out := Class{Client: mesh.Client{
		Type: c.p.Type, Namespace: c.p.Namespace, DomainSuffix: c.in.DomainSuffix,
		HTTPProxyPort: c.p.HTTPProxyPort, Istio: c.p.Istio, Proxyless: c.p.Proxyless,
	}}
	for _, k := range sorted(c.w.Labels) {
		if _, ok := collection.Get(c.ctx, asked, k); ok {
			if out.Client.Labels == nil {
				out.Client.Labels = map[string]string{}
			}
			out.Client.Labels[k] = c.w.Labels[k]
		}
	}
	targets := c.targets(services)
	if c.p.Type == mesh.Router {
		for _, g := range c.in.Rules.GatewaysFor(c.ctx, c.w.Labels) {
			out.Gateways = append(out.Gateways, g.Key())
		}
		out.Ports = map[uint32]uint32{}
		for _, t := range targets {
			if _, ok := out.Ports[t.Port]; !ok {
				out.Ports[t.Port] = t.Number
			}
		}
		return out
	}
	out.MTLS, out.PortMTLS = c.in.Rules.MTLS(c.ctx, c.p.Namespace, c.w.Labels)
	out.Targets = slices.CompactFunc(targets, func(a, b target) bool { return a.Number == b.Number })
	return out
}

// targets are the workload's ports that services lead to, by number; of
// several services for one port the oldest comes first.
func (c classifier) targets(services []*model.Service) []target {
	type aged struct {
		target
		s *model.Service
	}
	var all []aged
	for _, s := range services {
		if !selected(s, c.w.Labels) {
			continue
		}
		for _, p := range s.Ports {
			number := cmp.Or(c.w.Ports[p.TargetName], p.Target)
			if number == 0 || p.Protocol == model.UDP {
				continue
			}
			all = append(all, aged{target{s.Namespace + "/" + string(s.Host), p.Number, number}, s})
		}
	}
	slices.SortStableFunc(all, func(a, b aged) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), a.s.Created.Compare(b.s.Created), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Port, b.Port))
	})
	out := make([]target, len(all))
	for i, a := range all {
		out[i] = a.target
	}
	return out
}

func selected(s *model.Service, labels map[string]string) bool {
	for k, v := range s.Selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(s.Selector) > 0
}
