package compile

import (
	"encoding/json"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
)

// labels are what metadata says to balancers.
func labels(m *corev3.Metadata) cluster.Labels {
	return labelsOf(m.GetFilterMetadata()["envoy.lb"])
}

func labelsOf(s *structpb.Struct) cluster.Labels {
	var out cluster.Labels
	for key, value := range s.GetFields() {
		if text, err := json.Marshal(value.AsInterface()); err == nil {
			out = append(out, cluster.Label{Key: own(key), Value: string(text)})
		}
	}
	return cluster.Sorted(out)
}

var fallbacks = map[clusterv3.Cluster_LbSubsetConfig_LbSubsetFallbackPolicy]cluster.Fallback{
	clusterv3.Cluster_LbSubsetConfig_NO_FALLBACK: cluster.ToNobody, clusterv3.Cluster_LbSubsetConfig_ANY_ENDPOINT: cluster.ToAny, clusterv3.Cluster_LbSubsetConfig_DEFAULT_SUBSET: cluster.ToDefault,
}

var selectorFallbacks = map[clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy]cluster.Fallback{
	clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NOT_DEFINED: cluster.Unsaid, clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_NO_FALLBACK: cluster.ToNobody,
	clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_ANY_ENDPOINT: cluster.ToAny, clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_DEFAULT_SUBSET: cluster.ToDefault,
	clusterv3.Cluster_LbSubsetConfig_LbSubsetSelector_KEYS_SUBSET: cluster.ToKeys,
}

// subsets compiles how endpoints are parted by their labels.
func (c *Cluster) subsets(m *clusterv3.Cluster) error {
	s := m.GetLbSubsetConfig()
	if s == nil {
		return nil
	}
	out := &cluster.Subsets{Fallback: fallbacks[s.GetFallbackPolicy()], Default: labelsOf(s.GetDefaultSubset())}
	for i, sel := range s.GetSubsetSelectors() {
		each := cluster.Selector{Keys: slices.Sorted(slices.Values(sel.GetKeys())), Fallback: selectorFallbacks[sel.GetFallbackPolicy()], FallbackKeys: slices.Sorted(slices.Values(sel.GetFallbackKeysSubset()))}
		if len(each.Keys) == 0 {
			return fieldcheck.Refuse(fmt.Sprintf("subset_selectors[%d].keys", i), "is empty")
		}
		for _, k := range each.FallbackKeys {
			if !slices.Contains(each.Keys, k) {
				return fieldcheck.Refuse(fmt.Sprintf("subset_selectors[%d].fallback_keys_subset", i), "%q is none of the keys", k)
			}
		}
		if each.Fallback == cluster.ToKeys && (len(each.FallbackKeys) == 0 || len(each.FallbackKeys) == len(each.Keys)) {
			return fieldcheck.Refuse(fmt.Sprintf("subset_selectors[%d].fallback_keys_subset", i), "has to be some of the keys, not none and not all")
		}
		out.Selectors = append(out.Selectors, each)
	}
	c.Config.Subsets = out
	return nil
}
