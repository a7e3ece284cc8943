package interop

import (
	"fmt"
	"strings"
)

// subsetClusters have the same two endpoints, with labels, and part with those for
// whom there is no subset in different ways.
func subsetClusters(up upstreams) string {
	var out strings.Builder
	endpoint := func(b *backend, labels string) string {
		return fmt.Sprintf("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}, metadata: {filter_metadata: {envoy.lb: {%s}}}}", b.port, labels)
	}
	for _, c := range []struct{ name, fallback, more string }{
		{"any", "ANY_ENDPOINT", ""}, {"none", "NO_FALLBACK", ""}, {"default", "DEFAULT_SUBSET", ", default_subset: {stage: prod}"},
	} {
		fmt.Fprintf(&out, `- name: subset.%s
  type: STATIC
  connect_timeout: 1s
  lb_subset_config: {fallback_policy: %s%s, subset_selectors: [{keys: [version]}, {keys: [stage], fallback_policy: NO_FALLBACK}, {keys: [stage, version]}, {keys: [count]}, {keys: [zone, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [version]}]}
  load_assignment: {cluster_name: subset, endpoints: [{lb_endpoints: [%s, %s]}]}
`, c.name, c.fallback, c.more, endpoint(up.v1, `version: "1", stage: prod, count: 7, live: true`), endpoint(up.v2, `version: "2", stage: dev, count: 8`))
	}
	return out.String()
}

// subsetStory asks for endpoints by their labels.
func subsetStory() story {
	routes, asks := "routes:\n", []ask(nil)
	for _, fallback := range []string{"any", "none", "default"} {
		for i, labels := range []string{`version: "1"`, `version: "2"`, `stage: prod`, `stage: test`, `version: "2", stage: dev`, `count: 7`, `count: 8`, `zone: a, version: "2"`} {
			routes += fmt.Sprintf("- {match: {path: /%s/%d}, route: {cluster: subset.%s, metadata_match: {filter_metadata: {envoy.lb: {%s}}}}}\n", fallback, i, fallback, labels)
			asks = append(asks, get(fmt.Sprintf("/%s/%d", fallback, i)))
		}
		if fallback == "any" {
			continue // there is a choice then
		}
		for i, labels := range []string{`version: "3"`, `version: "1", stage: dev`, `other: x`, ``, `count: "7"`, `zone: a, version: "3"`} {
			routes += fmt.Sprintf("- {match: {path: /%s/none%d}, route: {cluster: subset.%s, metadata_match: {filter_metadata: {envoy.lb: {%s}}}}}\n", fallback, i, fallback, labels)
			asks = append(asks, get(fmt.Sprintf("/%s/none%d", fallback, i)))
		}
		routes += fmt.Sprintf("- {match: {path: /%s/plain}, route: {cluster: subset.%s}}\n", fallback, fallback)
		asks = append(asks, get("/"+fallback+"/plain"))
	}
	routes += `- match: {path: /weighted}
  route: {metadata_match: {filter_metadata: {envoy.lb: {stage: dev}}}, weighted_clusters: {clusters: [{name: subset.none, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: "2"}}}}]}}
- match: {path: /over}
  route: {metadata_match: {filter_metadata: {envoy.lb: {version: "1"}}}, weighted_clusters: {clusters: [{name: subset.none, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: "2"}}}}]}}
- match: {prefix: /said}
  route: {cluster: subset.none, metadata_match: {filter_metadata: {envoy.lb: {version: "1"}}}}
  typed_per_filter_config: {to: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config, request_rules: [{header: x-version, on_header_present: {metadata_namespace: envoy.lb, key: version}}]}}
`
	asks = append(asks, get("/weighted"), get("/over"), get("/said"), get("/said", "x-version: 2"), get("/said", "x-version: 3"))
	return story{name: "subsets", routes: routes, asks: asks}
}
