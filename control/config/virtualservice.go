package config

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

func sameVirtualService(a, b *mesh.VirtualService) bool {
	return collection.Deep(a.Meta, b.Meta) && slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Gateways, b.Gateways) && proto.Equal(a.Spec, b.Spec)
}

// virtualServices derives the VirtualServices in force: those that are sound
// and have hosts of their own, with what they delegate.
func virtualServices(in Inputs) *collection.Collection[*mesh.VirtualService] {
	return collection.Derive(in.VirtualServices, "config/virtualservices", sameVirtualService,
		func(ctx *collection.Ctx, _ string, raw *mesh.VirtualService) (*mesh.VirtualService, bool) {
			if len(raw.Spec.GetHosts()) == 0 || refused(checked(raw.Meta, func(c *check) { c.virtualService(raw.Spec) })) {
				return nil, false
			}
			vs := &mesh.VirtualService{Meta: raw.Meta, Spec: inFull(raw, in.DomainSuffix)}
			for _, h := range vs.Spec.Hosts {
				vs.Hosts = append(vs.Hosts, model.Host(h))
			}
			vs.Gateways = vs.Spec.Gateways
			vs.Spec.Http = undelegated(ctx, in, vs)
			return vs, true
		})
}

// inFull copies a VirtualService's spec with every name in full.
func inFull(vs *mesh.VirtualService, domain string) *networking.VirtualService {
	spec := proto.Clone(vs.Spec).(*networking.VirtualService)
	host := func(h string) string { return string(model.FQDN(h, vs.Namespace, domain)) }
	for i, h := range spec.Hosts {
		spec.Hosts[i] = host(h)
	}
	to := func(d *networking.Destination) {
		if d != nil {
			d.Host = host(d.Host)
		}
	}
	spec.Gateways = gatewayKeys(spec.Gateways, vs.Namespace)
	if len(spec.Gateways) == 0 {
		spec.Gateways = []string{"mesh"}
	}
	for _, r := range spec.Http {
		for _, m := range r.Match {
			m.Gateways = gatewayKeys(m.Gateways, vs.Namespace)
		}
		for _, d := range r.Route {
			to(d.Destination)
		}
		to(r.Mirror)
		for _, m := range r.Mirrors {
			to(m.Destination)
		}
	}
	for _, r := range spec.Tls {
		for _, m := range r.Match {
			m.Gateways = gatewayKeys(m.Gateways, vs.Namespace)
		}
		for _, d := range r.Route {
			to(d.Destination)
		}
	}
	for _, r := range spec.Tcp {
		for _, m := range r.Match {
			m.Gateways = gatewayKeys(m.Gateways, vs.Namespace)
		}
		for _, d := range r.Route {
			to(d.Destination)
		}
	}
	return spec
}

// gatewayKeys brings the ways to name a gateway ("name", "./name", "ns/name",
// "name.ns.svc.domain") to "namespace/name"; "mesh" stays.
func gatewayKeys(names []string, namespace string) []string {
	var out []string
	for _, name := range names {
		switch ns, rest, found := strings.Cut(name, "/"); {
		case name == "mesh":
			out = append(out, name)
		case found && ns == ".":
			out = append(out, namespace+"/"+rest)
		case found:
			out = append(out, name)
		case strings.Contains(name, "."):
			parts := strings.SplitN(name, ".", 3)
			out = append(out, parts[1]+"/"+parts[0])
		default:
			out = append(out, namespace+"/"+name)
		}
	}
	return out
}

// undelegated replaces routes that delegate by those of the delegate.
func undelegated(ctx *collection.Ctx, in Inputs, vs *mesh.VirtualService) []*networking.HTTPRoute {
	var out []*networking.HTTPRoute
	for _, r := range vs.Spec.Http {
		if r.Delegate == nil {
			out = append(out, r)
			continue
		}
		d, ok := collection.Get(ctx, in.VirtualServices, delegateKey(vs.Namespace, r.Delegate))
		if !ok || len(d.Spec.GetHosts()) > 0 || !model.Exported(d.Spec.GetExportTo(), d.Namespace, vs.Namespace) {
			continue
		}
		if refused(checked(d.Meta, func(c *check) { c.virtualService(d.Spec) })) {
			continue
		}
		for _, part := range inFull(d, in.DomainSuffix).Http {
			if merged, ok := mergeDelegate(r, part); ok {
				out = append(out, merged)
			}
		}
	}
	return out
}

func delegateKey(namespace string, d *networking.Delegate) string {
	if d.GetNamespace() != "" {
		namespace = d.GetNamespace()
	}
	return namespace + "/" + d.GetName()
}

// mergeDelegate narrows a delegate's route by the root's: matches combine, and
// what the delegate leaves unset the root gives. It is false when no request
// can match both.
func mergeDelegate(root, part *networking.HTTPRoute) (*networking.HTTPRoute, bool) {
	out := proto.Clone(part).(*networking.HTTPRoute)
	parent := proto.Clone(root).(*networking.HTTPRoute)
	matches, ok := mergeMatches(parent.Match, out.Match)
	if !ok {
		return nil, false
	}
	name := strings.Trim(parent.Name+"-"+out.Name, "-")
	parent.Delegate, parent.Match, parent.Name = nil, nil, ""
	from, to := parent.ProtoReflect(), out.ProtoReflect()
	fields := from.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); from.Has(f) && !to.Has(f) {
			to.Set(f, from.Get(f))
		}
	}
	out.Match, out.Name = matches, name
	return out, true
}

func mergeMatches(root, part []*networking.HTTPMatchRequest) ([]*networking.HTTPMatchRequest, bool) {
	if len(root) == 0 || len(part) == 0 {
		return append(root, part...), true
	}
	var out []*networking.HTTPMatchRequest
	for _, r := range root {
		for _, p := range part {
			if m, ok := mergeMatch(r, p); ok {
				out = append(out, m)
			}
		}
	}
	return out, len(out) > 0
}

// mergeMatch gives the match that holds where both do. Conditions that only
// one has are taken; of two on the same thing the delegate's must lie within
// the root's.
func mergeMatch(root, part *networking.HTTPMatchRequest) (*networking.HTTPMatchRequest, bool) {
	out := proto.Clone(root).(*networking.HTTPMatchRequest)
	for _, pair := range [][2]*networking.StringMatch{
		{root.Uri, part.Uri}, {root.Scheme, part.Scheme}, {root.Method, part.Method}, {root.Authority, part.Authority},
	} {
		if !within(pair[0], pair[1]) {
			return nil, false
		}
	}
	if root.Port != 0 && part.Port != 0 && root.Port != part.Port {
		return nil, false
	}
	for _, maps := range [][2]map[string]*networking.StringMatch{
		{root.Headers, part.Headers}, {root.WithoutHeaders, part.WithoutHeaders}, {root.QueryParams, part.QueryParams},
	} {
		for k, m := range maps[1] {
			if old, ok := maps[0][k]; ok && !within(old, m) {
				return nil, false
			}
		}
	}
	name := strings.Trim(root.Name+"-"+part.Name, "-")
	// proto.Merge joins oneofs by the later one, maps by key.
	proto.Merge(out, part)
	if len(part.Gateways) > 0 {
		out.Gateways = part.Gateways
	}
	out.Name = name
	return out, true
}

// within reports whether every text that part matches, root matches too.
func within(root, part *networking.StringMatch) bool {
	if root == nil || part == nil || proto.Equal(root, part) {
		return true
	}
	prefix, ok := root.MatchType.(*networking.StringMatch_Prefix)
	if !ok {
		return false
	}
	switch m := part.MatchType.(type) {
	case *networking.StringMatch_Prefix:
		return strings.HasPrefix(m.Prefix, prefix.Prefix)
	case *networking.StringMatch_Exact:
		return strings.HasPrefix(m.Exact, prefix.Prefix)
	}
	return false
}
