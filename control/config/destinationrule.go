package config

import (
	"slices"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// destinationRules derives the rules in force: all of one namespace for one
// host make one, in the order of their age.
func destinationRules(in Inputs) *collection.Collection[*mesh.DestinationRule] {
	sound := collection.Derive(in.DestinationRules, "config/sounddestinationrules", sameDestinationRule,
		func(_ *collection.Ctx, _ string, raw *mesh.DestinationRule) (*mesh.DestinationRule, bool) {
			if refused(checkDestinationRule(raw)) {
				return nil, false
			}
			return &mesh.DestinationRule{Meta: raw.Meta, Host: model.FQDN(raw.Spec.GetHost(), raw.Namespace, in.DomainSuffix), Spec: raw.Spec}, true
		})
	byHost := collection.Group(sound, "config/destinationrulesbyhost",
		func(_ string, dr *mesh.DestinationRule) []string {
			return []string{dr.Namespace + "/" + string(dr.Host)}
		})
	return collection.Derive(byHost, "config/destinationrules", sameDestinationRule,
		func(_ *collection.Ctx, _ string, list []*mesh.DestinationRule) (*mesh.DestinationRule, bool) {
			return mergeDestinationRules(list), true
		})
}

func sameDestinationRule(a, b *mesh.DestinationRule) bool {
	return collection.Deep(a.Meta, b.Meta) && a.Host == b.Host && proto.Equal(a.Spec, b.Spec)
}

func checkDestinationRule(dr *mesh.DestinationRule) []mesh.Problem {
	return checked(dr.Meta, func(c *check) {
		c.destinationRule(dr.Spec)
		if dr.Spec.GetWorkloadSelector() != nil {
			c.errorf("spec.workloadSelector", "rules for some workloads only are not in force yet: leave the selector out, and the rule holds for its whole namespace")
		}
	})
}

// mergeDestinationRules makes one rule of those for one host: subsets join (of
// equal names the first counts), the first policy and exportTo win.
func mergeDestinationRules(list []*mesh.DestinationRule) *mesh.DestinationRule {
	list = slices.SortedFunc(slices.Values(list), func(a, b *mesh.DestinationRule) int { return mesh.Older(a.Meta, b.Meta) })
	out := &mesh.DestinationRule{Meta: list[0].Meta, Host: list[0].Host, Spec: proto.Clone(list[0].Spec).(*networking.DestinationRule)}
	out.Spec.Host, out.Spec.Subsets = string(out.Host), nil
	names := map[string]bool{}
	for _, dr := range list {
		if out.Spec.TrafficPolicy == nil {
			out.Spec.TrafficPolicy = dr.Spec.TrafficPolicy
		}
		for _, s := range dr.Spec.Subsets {
			if !names[s.Name] {
				names[s.Name] = true
				out.Spec.Subsets = append(out.Spec.Subsets, s)
			}
		}
	}
	return out
}
