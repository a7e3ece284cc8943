package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Judgement is what is wrong with one object: nothing, when it is fine.
type Judgement struct {
	Object   mesh.Meta
	Problems []mesh.Problem
}

// problems derives what is wrong with each object, by itself and with what it
// refers to.
func problems(g *collection.Graph, in Inputs, r Rules) *collection.Collection[Judgement] {
	vs := about(in.VirtualServices, "VirtualService", func(o *mesh.VirtualService) mesh.Meta { return o.Meta }, func(ctx *collection.Ctx, o *mesh.VirtualService) []mesh.Problem {
		return checked(o.Meta, func(c *check) {
			c.virtualService(o.Spec)
			judge{c, ctx, in, r}.virtualService(o)
		})
	})
	dr := about(in.DestinationRules, "DestinationRule", func(o *mesh.DestinationRule) mesh.Meta { return o.Meta }, func(ctx *collection.Ctx, o *mesh.DestinationRule) []mesh.Problem {
		out := checkDestinationRule(o)
		return append(out, checked(o.Meta, func(c *check) {
			if host := model.FQDN(o.Spec.GetHost(), o.Namespace, in.DomainSuffix); !host.Wildcard() {
				judge{c, ctx, in, r}.service("spec.host", host)
			}
		})...)
	})
	gw := about(in.Gateways, "Gateway", func(o *mesh.Gateway) mesh.Meta { return o.Meta }, func(ctx *collection.Ctx, o *mesh.Gateway) []mesh.Problem {
		return checked(o.Meta, func(c *check) {
			c.gateway(o.Spec)
			judge{c, ctx, in, r}.credentials(o)
		})
	})
	pa := about(in.PeerAuthentications, "PeerAuthentication", func(o *mesh.PeerAuthentication) mesh.Meta { return o.Meta }, func(_ *collection.Ctx, o *mesh.PeerAuthentication) []mesh.Problem {
		return checked(o.Meta, func(c *check) { c.peerAuthentication(o.Spec) })
	})
	others := collection.Derive(in.Untranslated, "config/problems/others", collection.Deep[Judgement],
		func(_ *collection.Ctx, _ string, m mesh.Meta) (Judgement, bool) {
			return Judgement{m, checked(m, func(c *check) { c.untranslated() })}, true
		})
	se := about(in.ServiceEntries, "ServiceEntry", func(o *mesh.ServiceEntry) mesh.Meta { return o.Meta }, func(_ *collection.Ctx, o *mesh.ServiceEntry) []mesh.Problem {
		return checked(o.Meta, func(c *check) { c.serviceEntry(o.Spec) })
	})
	return collection.Union(g, "config/problems", vs, dr, gw, pa, se, others)
}

// untranslated names what an object of a kind that is not in force lacks.
func (c *check) untranslated() {
	if why, ok := unenforced[c.object.Kind]; ok {
		c.errorf("spec", "%s is not enforced yet: %s", c.object.Kind, why)
	} else if instead, ok := idle[c.object.Kind]; ok {
		c.warnf("spec", "%s has no effect yet: %s", c.object.Kind, instead)
	}
}

// about derives the problems of one kind's objects, by "Kind/namespace/name".
func about[V any](in *collection.Collection[V], kind string, meta func(V) mesh.Meta, find func(*collection.Ctx, V) []mesh.Problem) *collection.Collection[Judgement] {
	own := collection.Derive(in, "config/problems/"+kind, collection.Deep[Judgement], func(ctx *collection.Ctx, _ string, o V) (Judgement, bool) {
		list := find(ctx, o)
		slices.SortStableFunc(list, func(a, b mesh.Problem) int { return cmp.Compare(a.Field, b.Field) })
		return Judgement{meta(o), list}, true
	})
	return collection.Prefix(own, "config/problems/"+kind+"/keyed", kind+"/")
}

// judge finds what is wrong between one object and the others.
type judge struct {
	*check
	ctx *collection.Ctx
	in  Inputs
	r   Rules
}

func (j judge) virtualService(vs *mesh.VirtualService) {
	full := inFull(vs, j.in.DomainSuffix)
	for i, g := range full.Gateways {
		if g == "mesh" {
			j.overshadowed(vs, full.Hosts)
		} else if _, ok := collection.Get(j.ctx, j.r.Gateways, g); !ok {
			j.warnf(at("spec.gateways", i), "gateway %s is not there, or not in force: nothing reaches this rule through it", g)
		}
	}
	for i, r := range full.Http {
		field := at("spec.http", i)
		for k, d := range r.Route {
			j.destination(at(field+".route", k)+".destination", vs.Namespace, d.GetDestination())
		}
		j.destination(field+".mirror", vs.Namespace, r.Mirror)
		for k, m := range r.Mirrors {
			j.destination(at(field+".mirrors", k)+".destination", vs.Namespace, m.GetDestination())
		}
		if r.Delegate != nil {
			key := delegateKey(vs.Namespace, r.Delegate)
			if d, ok := collection.Get(j.ctx, j.in.VirtualServices, key); !ok || len(d.Spec.GetHosts()) > 0 {
				j.warnf(field+".delegate", "there is no VirtualService %s without hosts: the route leads nowhere", key)
			}
		}
	}
	for i, r := range full.Tls {
		for k, d := range r.Route {
			j.destination(at(at("spec.tls", i)+".route", k)+".destination", vs.Namespace, d.GetDestination())
		}
	}
	for i, r := range full.Tcp {
		for k, d := range r.Route {
			j.destination(at(at("spec.tcp", i)+".route", k)+".destination", vs.Namespace, d.GetDestination())
		}
	}
}

// overshadowed warns of hosts that an older rule has already.
func (j judge) overshadowed(vs *mesh.VirtualService, hosts []string) {
	for i, h := range hosts {
		list, _ := collection.Get(j.ctx, j.r.ByHost, h)
		for _, other := range list {
			if other.Meta.String() != vs.Meta.String() && mesh.Older(other.Meta, vs.Meta) < 0 && model.Exported(other.Spec.GetExportTo(), other.Namespace, vs.Namespace) {
				j.warnf(at("spec.hosts", i), "%s rules %s already and is older: inside the mesh only that one counts; join the two", other.Meta, h)
				break
			}
		}
	}
}

// destination warns of a host, port or subset that is not there.
func (j judge) destination(field, namespace string, d *networking.Destination) {
	if d == nil {
		return
	}
	s := j.service(field+".host", model.Host(d.GetHost()))
	if s == nil {
		return
	}
	if n := d.GetPort().GetNumber(); n != 0 {
		if _, ok := s.Port(n); !ok {
			j.warnf(field+".port.number", "service %s has no port %d: calls answer 503; it has %s", s.Host, n, portList(s))
		}
	}
	if d.GetSubset() == "" {
		return
	}
	rule := j.r.DestinationRule(j.ctx, namespace, s.Namespace, s.Host)
	if rule == nil || !slices.ContainsFunc(rule.Spec.GetSubsets(), func(x *networking.Subset) bool { return x.GetName() == d.GetSubset() }) {
		j.warnf(field+".subset", "no DestinationRule for %s has a subset %q: calls answer 503 until one does", s.Host, d.GetSubset())
	}
}

// service finds a service by its host, and warns when there is none.
func (j judge) service(field string, host model.Host) *model.Service {
	for _, name := range covering(host) {
		if list, ok := collection.Get(j.ctx, j.in.ServicesByHost, string(name)); ok {
			return list[0]
		}
	}
	hint := ""
	if strings.HasSuffix(string(host), ".svc."+j.in.DomainSuffix) {
		hint = "; short names are completed with the rule's own namespace"
	}
	j.warnf(field, "there is no service %s%s", host, hint)
	return nil
}

func portList(s *model.Service) string {
	var out []string
	for _, p := range s.Ports {
		out = append(out, fmt.Sprint(p.Number))
	}
	return strings.Join(out, ", ")
}

// credentials warns of secrets that the gateway's pods cannot get.
func (j judge) credentials(g *mesh.Gateway) {
	pods := collection.Select(j.ctx, j.in.Workloads, func(_ string, w *model.Workload) bool {
		return len(g.Spec.GetSelector()) > 0 && carries(w.Labels, g.Spec.GetSelector())
	})
	namespaces := map[string]bool{}
	for _, w := range pods {
		namespaces[w.Namespace] = true
	}
	if len(namespaces) == 0 {
		namespaces[g.Namespace] = true
	}
	for i, s := range g.Spec.GetServers() {
		t := s.GetTls()
		for _, name := range append(slices.Clone(t.GetCredentialNames()), t.GetCredentialName()) {
			for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
				if name == "" {
					continue
				}
				if _, ok := collection.Get(j.ctx, j.in.Secrets, ns+"/"+strings.TrimPrefix(name, "kubernetes://")); !ok {
					j.warnf(at("spec.servers", i)+".tls.credentialName", "there is no TLS secret %s in namespace %s, where the gateway's pods run: this server answers no handshake until there is", name, ns)
				}
			}
		}
	}
}
