package config

import (
	"strings"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// gateways derives the Gateways in force, each host as "namespace/dnsName".
func gateways(in Inputs) *collection.Collection[*mesh.Gateway] {
	same := func(a, b *mesh.Gateway) bool { return collection.Deep(a.Meta, b.Meta) && proto.Equal(a.Spec, b.Spec) }
	return collection.Derive(in.Gateways, "config/gateways", same, func(_ *collection.Ctx, _ string, raw *mesh.Gateway) (*mesh.Gateway, bool) {
		if refused(checked(raw.Meta, func(c *check) { c.gateway(raw.Spec) })) {
			return nil, false
		}
		out := &mesh.Gateway{Meta: raw.Meta, Spec: proto.Clone(raw.Spec).(*networking.Gateway)}
		for _, s := range out.Spec.Servers {
			for i, h := range s.Hosts {
				s.Hosts[i] = serverHost(h, raw.Namespace)
			}
		}
		return out, true
	})
}

func serverHost(host, namespace string) string {
	ns, name, found := strings.Cut(host, "/")
	switch {
	case !found:
		ns, name = "*", host
	case ns == ".":
		ns = namespace
	}
	return ns + "/" + strings.ToLower(name)
}

// GatewaysFor lists the Gateways that select a proxy by its labels, oldest
// first.
func (r Rules) GatewaysFor(ctx *collection.Ctx, labels map[string]string) []*mesh.Gateway {
	list := collection.Select(ctx, r.Gateways, func(_ string, g *mesh.Gateway) bool { return carries(labels, g.Spec.GetSelector()) })
	sortByAge(list, func(g *mesh.Gateway) mesh.Meta { return g.Meta })
	return list
}

// carries reports whether labels hold all of want.
func carries(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
