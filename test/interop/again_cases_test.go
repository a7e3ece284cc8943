package interop

import "fmt"

// againClusters have v1 and v2 as two priorities, and as a canary and not.
func againClusters(up upstreams) string {
	endpoint := func(b *backend, labels string) string {
		return fmt.Sprintf("{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}, metadata: {filter_metadata: {envoy.lb: {%s}}}}", b.port, labels)
	}
	return fmt.Sprintf(`- name: again.levels
  type: STATIC
  connect_timeout: 1s
  load_assignment: {cluster_name: levels, endpoints: [{priority: 0, lb_endpoints: [%s]}, {priority: 1, lb_endpoints: [%s]}]}
- name: again.labels
  type: STATIC
  connect_timeout: 1s
  load_assignment: {cluster_name: labels, endpoints: [{lb_endpoints: [%s, %s]}]}
- {name: again.ring, type: STATIC, connect_timeout: 1s, lb_policy: RING_HASH, load_assignment: {cluster_name: ring, endpoints: [{lb_endpoints: [%[1]s]}]}}
- {name: again.high, type: STATIC, connect_timeout: 1s, circuit_breakers: {thresholds: [{max_requests: 9}, {priority: HIGH, max_requests: 0}]}, load_assignment: {cluster_name: high, endpoints: [{lb_endpoints: [%[1]s]}]}}
- {name: again.retries, type: STATIC, connect_timeout: 1s, circuit_breakers: {thresholds: [{priority: HIGH, max_retries: 0}]}, load_assignment: {cluster_name: retries, endpoints: [{lb_endpoints: [%[1]s]}]}}
- {name: again.none, type: STATIC, connect_timeout: 1s, circuit_breakers: {thresholds: [{max_retries: 0}]}, load_assignment: {cluster_name: none, endpoints: [{lb_endpoints: [%[1]s]}]}}
`, endpoint(up.v1, ""), endpoint(up.v2, ""), endpoint(up.v1, "canary: true, stage: dev, version: 1"), endpoint(up.v2, "canary: false, stage: prod, version: 1"))
}

// againStory is of where a retry goes.
func againStory() story {
	const retry = "type.googleapis.com/envoy.extensions.retry."
	levels := func(path string, retries, frequency int) string {
		return fmt.Sprintf(`- {match: {prefix: %s/}, route: {cluster: again.levels, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: %d, retry_priority: {name: p, typed_config: {"@type": %spriority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: %d}}}}}
`, path, retries, retry, frequency)
	}
	labels := func(path, predicate string) string {
		return fmt.Sprintf(`- {match: {prefix: %s/}, route: {cluster: again.labels, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 1, host_selection_retry_max_attempts: 20, retry_host_predicate: [{name: p, typed_config: {"@type": %shost.%s}}]}}}
`, path, retry, predicate)
	}
	routes, asks := "routes:\n", []ask(nil)
	for _, frequency := range []int{1, 2, 3} {
		for _, retries := range []int{0, 1, 2, 3, 4} {
			path := fmt.Sprintf("/p%d%d", frequency, retries)
			routes += levels(path, retries, frequency)
			asks = append(asks, get(path+"/status/503"))
		}
	}
	for i, predicate := range []string{
		"omit_canary_hosts.v3.OmitCanaryHostsPredicate",
		"omit_host_metadata.v3.OmitHostMetadataConfig, metadata_match: {filter_metadata: {envoy.lb: {stage: dev}}}",
		"omit_host_metadata.v3.OmitHostMetadataConfig, metadata_match: {filter_metadata: {envoy.lb: {stage: prod, version: 1}}}",
	} {
		path := fmt.Sprintf("/h%d", i)
		routes += labels(path, predicate)
		for range 4 {
			asks = append(asks, get(path+"/status/503"))
		}
	}
	for _, cluster := range []string{"high", "retries", "none"} {
		for _, priority := range []string{"DEFAULT", "HIGH"} {
			path := "/" + cluster + priority
			routes += fmt.Sprintf("- {match: {prefix: %s/}, route: {cluster: again.%s, priority: %s, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 2}}}\n", path, cluster, priority)
			asks = append(asks, get(path+"/status/503"), get(path+"/status/200"))
		}
	}
	return story{name: "again", routes: routes, asks: asks}
}
