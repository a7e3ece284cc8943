package compile

import (
	"slices"

	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
)

// Statistics compiles which of Envoy's statistics are kept, by name; nil is all.
func Statistics(m *metricsv3.StatsMatcher) (func(name string) bool, error) {
	listed := func(field string, list *matcherv3.ListStringMatcher, kept bool) (func(string) bool, error) {
		patterns, err := names(list)
		return func(name string) bool {
			return slices.ContainsFunc(patterns, func(p route.StringMatch) bool { return p.Holds(name) }) == kept
		}, fieldcheck.At(field, err)
	}
	switch t := m.GetStatsMatcher().(type) {
	case *metricsv3.StatsMatcher_RejectAll:
		if t.RejectAll {
			return func(string) bool { return false }, nil
		}
	case *metricsv3.StatsMatcher_InclusionList:
		return listed("inclusion_list", t.InclusionList, true)
	case *metricsv3.StatsMatcher_ExclusionList:
		return listed("exclusion_list", t.ExclusionList, false)
	}
	return nil, nil
}
