package apiserver

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

// catalog is what the API serves at one moment, immutable.
type catalog struct {
	kinds []*kind.Kind // in order of discovery
	byGVR map[schema.GroupVersionResource]*kind.Kind
	byGVK map[schema.GroupVersionKind]*kind.Kind
	// definitions are the custom ones among them, by the name of their CRD.
	definitions map[string]definition
}

// definition is a kind with the revision of the CRD that it was made of.
type definition struct {
	kind     *kind.Kind
	revision uint64
}

func newCatalog(kinds []*kind.Kind) *catalog {
	c := &catalog{
		kinds: kinds,
		byGVR: make(map[schema.GroupVersionResource]*kind.Kind, len(kinds)),
		byGVK: make(map[schema.GroupVersionKind]*kind.Kind, len(kinds)),
	}
	for _, k := range kinds {
		for _, v := range k.Versions {
			c.byGVR[k.GVR(v)] = k
			c.byGVK[k.GVK(v)] = k
		}
	}
	return c
}

// group is an API group with its versions, the preferred one first.
type group struct {
	name     string
	versions []string
}

// groups lists the served groups: the core group first, then in order of appearance.
func (c *catalog) groups() []group {
	var groups []group
	for _, k := range c.kinds {
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == k.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{name: k.Group})
		}
		for _, v := range k.Versions {
			if !slices.Contains(groups[i].versions, v) {
				groups[i].versions = append(groups[i].versions, v)
			}
		}
	}
	for _, g := range groups {
		slices.SortStableFunc(g.versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
	}
	return groups
}

// in lists the kinds of a group and version, by plural name.
func (c *catalog) in(group, version string) []*kind.Kind {
	var kinds []*kind.Kind
	for _, k := range c.kinds {
		if k.Group == group && slices.Contains(k.Versions, version) {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, func(a, b *kind.Kind) int { return cmp.Compare(a.Plural, b.Plural) })
	return kinds
}
