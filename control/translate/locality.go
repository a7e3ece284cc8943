package translate

import (
	"slices"
	"strings"

	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// localitySetting is the rule's setting, else the mesh's.
func localitySetting(lb *networking.LoadBalancerSettings, m *mesh.Config) *networking.LocalityLoadBalancerSetting {
	s := first(lb.GetLocalityLbSetting(), m.GetLocalityLbSetting())
	if e := s.GetEnabled(); e != nil && !e.Value {
		return nil
	}
	return s
}

func distributes(s *networking.LocalityLoadBalancerSetting) bool { return len(s.GetDistribute()) > 0 }

// distribute weighs the localities as the user wrote for the client's own.
func distribute(s *networking.LocalityLoadBalancerSetting, client model.Locality, groups []*endpoint.LocalityLbEndpoints) {
	for _, d := range s.GetDistribute() {
		if !covers(d.From, client) {
			continue
		}
		left := slices.Clone(groups)
		for _, to := range slices.Backward(slices.Sorted(mapKeys(d.To))) { // longer names first
			left = slices.DeleteFunc(left, func(g *endpoint.LocalityLbEndpoints) bool {
				if !covers(to, locality(g)) {
					return false
				}
				g.LoadBalancingWeight = u32(d.To[to])
				return true
			})
		}
		for _, g := range left {
			g.LbEndpoints = nil
		}
		return
	}
}

// failover gives localities priorities by their nearness to the client: 0 the
// same sub-zone, then zone, then region, then the region to fail over to,
// then the rest. Numbers have no gaps.
func failover(s *networking.LocalityLoadBalancerSetting, client model.Locality, groups []*endpoint.LocalityLbEndpoints) {
	target := ""
	for _, f := range s.GetFailover() {
		if f.From == client.Region {
			target = f.To
		}
	}
	var seen []uint32
	for _, g := range groups {
		g.Priority = distance(client, locality(g), target)
		seen = append(seen, g.Priority)
	}
	slices.Sort(seen)
	seen = slices.Compact(seen)
	for _, g := range groups {
		g.Priority = uint32(slices.Index(seen, g.Priority))
	}
}

func distance(client, other model.Locality, target string) uint32 {
	switch {
	case client == other:
		return 0
	case client.Region == other.Region && client.Zone == other.Zone:
		return 1
	case client.Region == other.Region:
		return 2
	case target == "" || target == other.Region:
		return 3
	}
	return 4
}

// covers reports whether a pattern such as "region/*" or "region/zone" covers
// a locality.
func covers(pattern string, l model.Locality) bool {
	have := []string{l.Region, l.Zone, l.SubZone}
	for i, want := range strings.SplitN(pattern, "/", 3) {
		if want == "*" {
			return true
		}
		if want != have[i] {
			return false
		}
	}
	return true
}

func locality(g *endpoint.LocalityLbEndpoints) model.Locality {
	return model.Locality{Region: g.Locality.GetRegion(), Zone: g.Locality.GetZone(), SubZone: g.Locality.GetSubZone()}
}
