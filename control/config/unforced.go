package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// unforced are fields that change nothing yet, by kind and by the end of their
// path without indexes, with what to do instead.
var unforced = map[string]map[string]string{
	"DestinationRule": {
		"trafficPolicy.tunnel":               "connect to the target itself",
		"loadBalancer.zoneAwareLbSetting":    "use localityLbSetting",
		"localityLbSetting.failoverPriority": "use localityLbSetting.failover",
		"outlierDetectionHttpErrorCodes":     "5xx are errors; see consecutive5xxErrors and consecutiveGatewayErrors",
		"retryBudget.budgetInterval":         "the budget is a share of the requests that are active",
	},
	"VirtualService": {
		"fault.delay.exponentialDelay": "use fixedDelay",
		"fault.abort.http2Error":       "use httpStatus or grpcStatus",
		"tls.match.sourceSubnet":       "match by sourceLabels or sourceNamespace",
		"tcp.match.sourceSubnet":       "match by sourceLabels or sourceNamespace",
	},
	"Gateway": {
		"servers.defaultEndpoint": "route by a VirtualService",
	},
}

// unforcedFields warns about every field of a spec that changes nothing yet.
func (c *check) unforcedFields(spec map[string]any) {
	table := unforced[c.object.Kind]
	if len(table) == 0 {
		return
	}
	c.walk(table, "spec", "", spec)
}

// walk visits value, which is at field ("spec.http[0].fault") and, without
// indexes, at path ("http.fault").
func (c *check) walk(table map[string]string, field, path string, value any) {
	for end, instead := range table {
		if path == end || strings.HasSuffix(path, "."+end) {
			c.warnf(field, "the field is not in force yet: %s", instead)
			return
		}
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			c.walk(table, field+"."+key, strings.TrimPrefix(path+"."+key, "."), v[key])
		}
	case []any:
		for i, item := range v {
			c.walk(table, field+"["+strconv.Itoa(i)+"]", path, item)
		}
	}
}
