package config

import (
	"slices"

	security "istio.io/api/security/v1beta1"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// MTLS finds what holds for a workload: the port's setting goes before the
// workload's, the namespace's and the mesh's; at one level the oldest counts.
// It gives the workload's mode and those of the ports that differ.
func (r Rules) MTLS(ctx *collection.Ctx, namespace string, labels map[string]string) (mode mesh.MTLS, ports map[uint32]mesh.MTLS) {
	if top := r.widest(ctx, r.root); top != nil {
		mode = modeOf(top.Spec.GetMtls(), mode)
	}
	if namespace != r.root {
		if own := r.widest(ctx, namespace); own != nil {
			mode = modeOf(own.Spec.GetMtls(), mode)
		}
		if own := r.selecting(ctx, namespace, labels); own != nil {
			mode = modeOf(own.Spec.GetMtls(), mode)
			for port, m := range own.Spec.GetPortLevelMtls() {
				if own := modeOf(m, mode); own != mode {
					if ports == nil {
						ports = map[uint32]mesh.MTLS{}
					}
					ports[port] = own
				}
			}
		}
	}
	return mode, ports
}

// widest is the oldest rule of a namespace without a selector.
func (r Rules) widest(ctx *collection.Ctx, namespace string) *mesh.PeerAuthentication {
	return r.oldest(ctx, namespace, func(p *mesh.PeerAuthentication) bool { return len(p.Spec.GetSelector().GetMatchLabels()) == 0 })
}

// selecting is the oldest rule of a namespace whose selector picks labels.
func (r Rules) selecting(ctx *collection.Ctx, namespace string, labels map[string]string) *mesh.PeerAuthentication {
	return r.oldest(ctx, namespace, func(p *mesh.PeerAuthentication) bool {
		want := p.Spec.GetSelector().GetMatchLabels()
		return len(want) > 0 && carries(labels, want)
	})
}

func (r Rules) oldest(ctx *collection.Ctx, namespace string, ok func(*mesh.PeerAuthentication) bool) *mesh.PeerAuthentication {
	list, _ := collection.Get(ctx, r.PeerAuthentications, namespace)
	list = slices.DeleteFunc(slices.Clone(list), func(p *mesh.PeerAuthentication) bool { return !ok(p) })
	if len(list) == 0 {
		return nil
	}
	sortByAge(list, func(p *mesh.PeerAuthentication) mesh.Meta { return p.Meta })
	return list[0]
}

func modeOf(m *security.PeerAuthentication_MutualTLS, inherited mesh.MTLS) mesh.MTLS {
	switch m.GetMode() {
	case security.PeerAuthentication_MutualTLS_STRICT:
		return mesh.Strict
	case security.PeerAuthentication_MutualTLS_PERMISSIVE:
		return mesh.Permissive
	case security.PeerAuthentication_MutualTLS_DISABLE:
		return mesh.Disable
	}
	return inherited
}

func sortByAge[T any](list []T, meta func(T) mesh.Meta) {
	slices.SortStableFunc(list, func(a, b T) int { return mesh.Older(meta(a), meta(b)) })
}
