// Package config brings the rules that users write into normal form: names in
// full, defaults filled in, delegates and duplicates merged, and what cannot
// be in force left out with a reason.
//
// It is the second half of the second stage of a config change, beside
// control/source. [Validate] judges one object by itself; [New] derives the
// rules in force and what is wrong between objects.
package config

import (
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Inputs are the tables that rules are derived from. Objects are as users
// wrote them, by "namespace/name".
type Inputs struct {
	VirtualServices     *collection.Collection[*mesh.VirtualService]
	DestinationRules    *collection.Collection[*mesh.DestinationRule]
	Gateways            *collection.Collection[*mesh.Gateway]
	PeerAuthentications *collection.Collection[*mesh.PeerAuthentication]
	ServiceEntries      *collection.Collection[*mesh.ServiceEntry]
	Untranslated        *collection.Collection[mesh.Meta]
	Secrets             *collection.Collection[*mesh.Secret]
	// ServicesByHost lists the services of all namespaces that have a host.
	ServicesByHost *collection.Collection[[]*model.Service]
	Workloads      *collection.Collection[*model.Workload]
	// DomainSuffix of the cluster ("cluster.local").
	DomainSuffix string
	// RootNamespace is where rules for the whole mesh live.
	RootNamespace string
}

// Rules are the rules in force.
type Rules struct {
	// VirtualServices by "namespace/name".
	VirtualServices *collection.Collection[*mesh.VirtualService]
	// ByHost lists those that apply to sidecars, by each of their hosts.
	ByHost *collection.Collection[[]*mesh.VirtualService]
	// ByGateway lists those bound to a gateway, by its "namespace/name".
	ByGateway *collection.Collection[[]*mesh.VirtualService]
	// DestinationRules by "namespace/host".
	DestinationRules *collection.Collection[*mesh.DestinationRule]
	// Gateways by "namespace/name".
	Gateways *collection.Collection[*mesh.Gateway]
	// PeerAuthentications lists a namespace's rules.
	PeerAuthentications *collection.Collection[[]*mesh.PeerAuthentication]
	// Problems lists what is wrong with an object, by "Kind/namespace/name";
	// every object that the mesh reads has a row.
	Problems *collection.Collection[Judgement]

	root string
}

// New derives the rules in force.
func New(g *collection.Graph, in Inputs) Rules {
	r := Rules{root: in.RootNamespace}
	r.VirtualServices = virtualServices(in)
	r.ByHost = collection.Group(r.VirtualServices, "config/virtualservicesbyhost", func(_ string, vs *mesh.VirtualService) []string {
		if !vs.Mesh() {
			return nil
		}
		return texts(vs.Hosts)
	})
	r.ByGateway = collection.Group(r.VirtualServices, "config/virtualservicesbygateway",
		func(_ string, vs *mesh.VirtualService) []string { return vs.Gateways })
	r.DestinationRules = destinationRules(in)
	r.Gateways = gateways(in)
	sound := collection.Derive(in.PeerAuthentications, "config/peerauthentications", collection.Same[*mesh.PeerAuthentication],
		func(_ *collection.Ctx, _ string, p *mesh.PeerAuthentication) (*mesh.PeerAuthentication, bool) {
			return p, !refused(checked(p.Meta, func(c *check) { c.peerAuthentication(p.Spec) }))
		})
	r.PeerAuthentications = collection.Group(sound, "config/peerauthenticationsbynamespace",
		func(_ string, p *mesh.PeerAuthentication) []string { return []string{p.Namespace} })
	r.Problems = problems(g, in, r)
	return r
}

// checked runs the checks of one object by itself.
func checked(of mesh.Meta, rules func(*check)) []mesh.Problem {
	c := &check{object: of}
	rules(c)
	return c.problems
}

// refused reports whether any problem keeps its object out of force.
func refused(list []mesh.Problem) bool {
	return slices.ContainsFunc(list, func(p mesh.Problem) bool { return p.Severity == mesh.Error })
}

// covering lists the names under which a rule may cover host, the most
// specific first: the host, then each wildcard above it, then "*".
func covering(host model.Host) []model.Host {
	out := []model.Host{host}
	rest := strings.TrimPrefix(string(host), "*.")
	for {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		out = append(out, model.Host("*."+parent))
		rest = parent
	}
	if host != "*" {
		out = append(out, "*")
	}
	return out
}

// VirtualService finds the rule that sidecars of a namespace obey for a host;
// nil when there is none. Of several the one with the most specific host
// counts, then the oldest.
func (r Rules) VirtualService(ctx *collection.Ctx, client string, host model.Host) *mesh.VirtualService {
	for _, name := range covering(host) {
		list, _ := collection.Get(ctx, r.ByHost, string(name))
		var best *mesh.VirtualService
		for _, vs := range list {
			if model.Exported(vs.Spec.GetExportTo(), vs.Namespace, client) && (best == nil || mesh.Older(vs.Meta, best.Meta) < 0) {
				best = vs
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// DestinationRule finds the rule that proxies of namespace client obey for a
// service: their own namespace's first, then the service's, then the root's;
// within one, that with the most specific host. It is nil if there is none.
func (r Rules) DestinationRule(ctx *collection.Ctx, client, service string, host model.Host) *mesh.DestinationRule {
	seen := map[string]bool{}
	for _, ns := range []string{client, service, r.root} {
		if seen[ns] || ns == "" {
			continue
		}
		seen[ns] = true
		for _, name := range covering(host) {
			dr, ok := collection.Get(ctx, r.DestinationRules, ns+"/"+string(name))
			if ok && (ns == client || model.Exported(dr.Spec.GetExportTo(), ns, client)) {
				return dr
			}
		}
	}
	return nil
}

func texts(hosts []model.Host) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = string(h)
	}
	return out
}
