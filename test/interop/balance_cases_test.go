package interop

import (
	"fmt"
	"strings"
)

// balances are the clusters whose balancing is compared.
func balances(p numbered) []balance {
	many := func(from, to int, more ...string) string {
		var list []string
		for i := from; i < to; i++ {
			list = append(list, p.at(i, more...))
		}
		return strings.Join(list, ", ")
	}
	endpoints := func(groups ...string) string { return "endpoints: [" + strings.Join(groups, ", ") + "]" }
	plain := endpoints(group("", many(0, 4)))
	mixed := endpoints(group("", p.at(3), p.at(0), p.at(7), p.at(2), p.at(5)))
	const unhealthy, degraded = "health_status: UNHEALTHY", "health_status: DEGRADED"
	first, second := "", "priority: 1, "
	out := []balance{
		{name: "even", endpoints: plain},
		{name: "weights", endpoints: endpoints(group("", p.at(0, "load_balancing_weight: 1"), p.at(1, "load_balancing_weight: 2"), p.at(2, "load_balancing_weight: 5")))},
		{name: "one-out", endpoints: endpoints(group("", p.at(0), p.at(1, unhealthy), p.at(2), p.at(3)))},
		{name: "timeout-and-draining", endpoints: endpoints(group("", p.at(0), p.at(1, "health_status: TIMEOUT"), p.at(2, "health_status: DRAINING"), p.at(3), p.at(4)))},
		{name: "random-one-out", cluster: "lb_policy: RANDOM", endpoints: endpoints(group("", p.at(0), p.at(1, unhealthy), p.at(2), p.at(3)))},
		{name: "panic", endpoints: endpoints(group("", p.at(0), many(1, 4, unhealthy)))},
		{name: "no-panic", cluster: "common_lb_config: {healthy_panic_threshold: {value: 0}}", endpoints: endpoints(group("", p.at(0), many(1, 4, unhealthy)))},
		{name: "high-threshold", cluster: "common_lb_config: {healthy_panic_threshold: {value: 90}}", endpoints: endpoints(group("", many(0, 3), p.at(3, unhealthy)))},
		{name: "threshold-part", cluster: "common_lb_config: {healthy_panic_threshold: {value: 33.6}}", endpoints: endpoints(group("", p.at(0), many(1, 3, unhealthy)))},
		{name: "nobody", none: true, cluster: "common_lb_config: {healthy_panic_threshold: {value: 0}}", endpoints: endpoints(group("", many(0, 2, unhealthy)))},
		{name: "second-level", endpoints: endpoints(group(first, p.at(0), many(1, 4, unhealthy)), group(second, many(4, 8)))},
		{name: "half-second-level", endpoints: endpoints(group(first, many(0, 2), many(2, 4, unhealthy)), group(second, many(4, 8)))},
		{name: "overprovisioned", endpoints: endpoints(group(first, many(0, 2), many(2, 4, unhealthy)), group(second, many(4, 8))) + ", policy: {overprovisioning_factor: 200}"},
		{name: "underprovisioned", endpoints: endpoints(group(first, many(0, 3), p.at(3, unhealthy)), group(second, many(4, 8))) + ", policy: {overprovisioning_factor: 100}"},
		{name: "by-weight", endpoints: endpoints(group(first, p.at(0, "load_balancing_weight: 9"), p.at(1, "load_balancing_weight: 1", unhealthy)), group(second, many(4, 8))) + ", policy: {weighted_priority_health: true}"},
		{name: "both-lack", endpoints: endpoints(group(first, p.at(0), many(1, 4, unhealthy)), group(second, p.at(4), many(5, 8, unhealthy))), cluster: "common_lb_config: {healthy_panic_threshold: {value: 0}}"},
		{name: "both-panic", endpoints: endpoints(group(first, many(0, 3, unhealthy)), group(second, many(4, 6, unhealthy)))},
		{name: "one-panics", endpoints: endpoints(group(first, p.at(0), many(1, 4, unhealthy)), group(second, many(4, 6), many(6, 8, unhealthy))), cluster: "common_lb_config: {healthy_panic_threshold: {value: 40}}"},
		{name: "one-panics-degraded", endpoints: endpoints(group(first, p.at(0, degraded), many(1, 4, unhealthy)), group(second, p.at(4), many(5, 7, unhealthy))), cluster: "common_lb_config: {healthy_panic_threshold: {value: 30}}"},
		{name: "far-weights", endpoints: endpoints(group("", p.at(0, "load_balancing_weight: 70000"), p.at(1, "load_balancing_weight: 1")))},
		{name: "twice", endpoints: endpoints(group("", p.at(0), p.at(0), p.at(1)))},
		{name: "twice-named", cluster: "type: STRICT_DNS", endpoints: endpoints(group("locality: {zone: a}, ", p.at(0), p.at(1)), group("locality: {zone: b}, ", p.at(0)))},
		{name: "degraded", endpoints: endpoints(group("", p.at(0), p.at(1, unhealthy), many(2, 4, degraded)))},
		{name: "degraded-unused", endpoints: endpoints(group("", many(0, 3), p.at(3, degraded)))},
		{name: "only-degraded", endpoints: endpoints(group("", many(0, 3, degraded)))},
		{name: "degraded-or-second", endpoints: endpoints(group(first, p.at(0), many(1, 3, degraded), p.at(3, unhealthy)), group(second, p.at(4), many(5, 8, unhealthy)))},
		{name: "localities", cluster: "common_lb_config: {locality_weighted_lb_config: {}}", endpoints: endpoints(
			group("locality: {zone: east}, load_balancing_weight: 3, ", many(0, 2)), group("locality: {zone: south}, load_balancing_weight: 1, ", many(2, 4)), group("locality: {zone: west}, ", many(4, 6)))},
		{name: "localities-out", cluster: "common_lb_config: {locality_weighted_lb_config: {}}", endpoints: endpoints(
			group("locality: {zone: east}, load_balancing_weight: 1, ", p.at(0), p.at(1, unhealthy)), group("locality: {zone: south}, load_balancing_weight: 1, ", many(2, 4)))},
		{name: "least", cluster: "lb_policy: LEAST_REQUEST", endpoints: plain},
		{name: "least-weights", cluster: "lb_policy: LEAST_REQUEST", endpoints: endpoints(group("", p.at(0, "load_balancing_weight: 1"), p.at(1, "load_balancing_weight: 9")))},
		{name: "least-full-scan", cluster: policyOf(`least_request.v3.LeastRequest, selection_method: FULL_SCAN`), endpoints: plain},
	}
	for name, c := range map[string]string{
		"ring": "lb_policy: RING_HASH", "maglev": "lb_policy: MAGLEV",
		"ring-murmur":   "lb_policy: RING_HASH\nring_hash_lb_config: {hash_function: MURMUR_HASH_2, minimum_ring_size: 64}",
		"ring-small":    "lb_policy: RING_HASH\nring_hash_lb_config: {minimum_ring_size: 1, maximum_ring_size: 7}",
		"ring-hostname": "type: STRICT_DNS\nlb_policy: RING_HASH\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}", "maglev-hostname": policyOf("maglev.v3.Maglev, consistent_hashing_lb_config: {use_hostname_for_hashing: true}"),
		"ring-bounded": "lb_policy: RING_HASH\ncommon_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 150}}", "maglev-small": "lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 11}",
		"ring-localities": "lb_policy: RING_HASH\ncommon_lb_config: {locality_weighted_lb_config: {}}", "maglev-localities": "lb_policy: MAGLEV\ncommon_lb_config: {locality_weighted_lb_config: {}}",
	} {
		hosts := plain
		if strings.HasSuffix(name, "small") {
			hosts = mixed
		}
		if strings.HasSuffix(name, "localities") {
			hosts = endpoints(group("locality: {zone: east}, load_balancing_weight: 3, ", many(0, 2)), group("locality: {zone: south}, load_balancing_weight: 1, ", many(2, 4)))
		}
		out = append(out, balance{name: name, cluster: c, endpoints: hosts, keyed: true})
	}
	for _, kind := range []string{"RING_HASH", "MAGLEV"} {
		for name, hosts := range map[string]string{
			"weights":       endpoints(group("", p.at(0, "load_balancing_weight: 1"), p.at(1, "load_balancing_weight: 3"), p.at(2, "load_balancing_weight: 7"))),
			"out":           endpoints(group("", p.at(0), p.at(1, unhealthy), p.at(2), p.at(3))),
			"panic":         endpoints(group("", p.at(0), many(1, 4, unhealthy))),
			"keys":          endpoints(group("", p.at(0, `metadata: {filter_metadata: {envoy.lb: {hash_key: one}}}`), p.at(1, `metadata: {filter_metadata: {envoy.lb: {hash_key: two}}}`), p.at(2))),
			"levels":        endpoints(group(first, p.at(0), many(1, 4, unhealthy)), group(second, many(4, 8))),
			"mixed":         mixed,
			"only-degraded": endpoints(group("", many(0, 3, degraded))),
			"degraded":      endpoints(group("", many(0, 2), many(2, 8, degraded))),
		} {
			out = append(out, balance{name: strings.ToLower(kind) + "-" + name, cluster: "lb_policy: " + kind, endpoints: hosts, keyed: true, none: name == "only-degraded"})
		}
	}
	for name, policies := range map[string]string{
		"source": "{connection_properties: {source_ip: true}}", "several": "{header: {header_name: x-key}}, {connection_properties: {source_ip: true}}, {header: {header_name: user-agent}}",
		"terminal": "{header: {header_name: x-none}}, {header: {header_name: x-key}, terminal: true}, {connection_properties: {source_ip: true}}",
	} {
		out = append(out, balance{name: "by-" + name, cluster: "lb_policy: RING_HASH", endpoints: plain, keyed: true, route: ", hash_policy: [" + policies + "]"})
	}
	for _, kind := range []string{"RING_HASH", "MAGLEV"} {
		out = append(out, balance{name: "retried-" + strings.ToLower(kind), cluster: "lb_policy: " + kind, endpoints: plain, keyed: true,
			route: ", retry_policy: {retry_on: 5xx, num_retries: 1, retry_host_predicate: [{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 3}"})
	}
	return append(append(out, zoneBalances(p)...), probedBalances(p)...)
}

// probedBalances ask their endpoints, of whom the even ones are well only by half.
func probedBalances(p numbered) []balance {
	check := func(path string) string {
		return "{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: " + path + "}}"
	}
	probed := func(i int, fields string) string {
		return strings.Replace(p.at(i), "hostname:", "health_check_config: {"+fields+"}, hostname:", 1)
	}
	plain := "endpoints: [" + group("", p.at(0), p.at(1), p.at(2), p.at(3)) + "]"
	elsewhere := "endpoints: [" + group("", probed(0, "port_value: "+p[1]), p.at(1), p.at(2), probed(3, "address: {socket_address: {address: 127.0.0.1, port_value: "+p[2]+"}}")) + "]"
	return []balance{
		{name: "probed", cluster: "health_checks: [" + check("/half") + "]", endpoints: plain},
		{name: "probed-without-reuse", cluster: "health_checks: [" + strings.Replace(check("/half"), "timeout", "reuse_connection: false, timeout", 1) + "]", endpoints: plain},
		{name: "probed-degraded", cluster: "health_checks: [" + check("/degraded") + "]", endpoints: plain},
		{name: "probed-all-degraded", cluster: "health_checks: [" + check("/degraded") + "]", endpoints: "endpoints: [" + group("", p.at(0), p.at(2)) + "]"},
		{name: "probed-degraded-lack", cluster: "health_checks: [" + check("/degraded") + "]", endpoints: "endpoints: [" + group("", p.at(0), p.at(1), p.at(2), p.at(4)) + "]"},
		{name: "probed-elsewhere", cluster: "health_checks: [" + check("/half") + "]", endpoints: elsewhere},
		{name: "probed-not", cluster: "health_checks: [" + check("/half") + "]", endpoints: "endpoints: [" + group("", p.at(0), probed(2, "disable_active_health_check: true"), p.at(1)) + "]"},
		{name: "probed-by-name", cluster: "health_checks: [" + check("/host") + "]\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}", endpoints: "endpoints: [" + group("", p.at(0), probed(1, "hostname: well"), probed(2, "hostname: ill")) + "]"},
		{name: "probed-panic", cluster: "health_checks: [" + check("/half") + "]\ncommon_lb_config: {ignore_new_hosts_until_first_hc: true}", endpoints: "endpoints: [" + group("", p.at(0), p.at(2), p.at(3)) + "]"},
	}
}

// policyOf is a balancing policy in its newer spelling.
func policyOf(text string) string {
	name, fields, _ := strings.Cut(text, ",")
	return fmt.Sprintf(`load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.%s, %s}}}]}`, name, fields)
}

// zoneBalances prefer what is near: half of the proxies are in zone a, where this
// one is, half in zone b.
func zoneBalances(p numbered) []balance {
	zone := func(name string, from, to int, more ...string) string {
		var list []string
		for i := from; i < to; i++ {
			list = append(list, p.at(i, more...))
		}
		return group("locality: {zone: "+name+"}, ", list...)
	}
	endpoints := func(groups ...string) string { return "endpoints: [" + strings.Join(groups, ", ") + "]" }
	const aware = "common_lb_config: {zone_aware_lb_config: {min_cluster_size: 1}}"
	extension := func(fields string) string {
		return policyOf("round_robin.v3.RoundRobin, locality_lb_config: {zone_aware_lb_config: {min_cluster_size: 1, " + fields + "}}")
	}
	weighted := endpoints(group("locality: {zone: a}, ", p.at(0, "load_balancing_weight: 1"), p.at(1, "load_balancing_weight: 1")), group("locality: {zone: b}, ", p.at(2, "load_balancing_weight: 4"), p.at(3, "load_balancing_weight: 2")))
	return []balance{
		{name: "zone-unsaid", endpoints: endpoints(zone("a", 0, 3), zone("b", 3, 7))},
		{name: "zone-unsaid-small", endpoints: endpoints(zone("a", 0, 2), zone("b", 2, 4))},
		{name: "zone-unsaid-least", cluster: "lb_policy: LEAST_REQUEST", endpoints: endpoints(zone("a", 0, 3), zone("b", 3, 7))},
		{name: "zone-unsaid-new", cluster: policyOf("round_robin.v3.RoundRobin, slow_start_config: {}"), endpoints: endpoints(zone("a", 0, 3), zone("b", 3, 7))},
		{name: "zone-unsaid-random", cluster: policyOf("random.v3.Random, locality_lb_config: {}"), endpoints: endpoints(zone("a", 0, 3), zone("b", 3, 7))},
		{name: "zone-unsaid-weighted", cluster: "common_lb_config: {locality_weighted_lb_config: {}}", endpoints: endpoints(group("load_balancing_weight: 1, locality: {zone: a}, ", p.at(0), p.at(1), p.at(2)), group("load_balancing_weight: 1, locality: {zone: b}, ", p.at(3), p.at(4), p.at(5)))},
		{name: "zone-direct", cluster: aware, endpoints: endpoints(zone("a", 0, 2), zone("b", 2, 4))},
		{name: "zone-more", cluster: aware, endpoints: endpoints(zone("a", 0, 3), zone("b", 3, 4))},
		{name: "zone-less", cluster: aware, endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-third", cluster: aware, endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4), zone("c", 4, 6))},
		{name: "zone-none", cluster: aware, endpoints: endpoints(zone("b", 1, 4), zone("c", 4, 6))},
		{name: "zone-alone", cluster: aware, endpoints: endpoints(zone("b", 1, 4))},
		{name: "zone-small", cluster: "common_lb_config: {zone_aware_lb_config: {}}", endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-half", cluster: "common_lb_config: {zone_aware_lb_config: {min_cluster_size: 1, routing_enabled: {value: 50}}}", endpoints: endpoints(zone("a", 0, 2), zone("b", 2, 4))},
		{name: "zone-random", cluster: "lb_policy: RANDOM\n" + aware, endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-least", cluster: "lb_policy: LEAST_REQUEST\n" + aware, endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-out", cluster: aware, endpoints: endpoints(group("locality: {zone: a}, ", p.at(0), p.at(1, "health_status: UNHEALTHY")), zone("b", 2, 4))},
		{name: "zone-panic", cluster: aware, endpoints: endpoints(zone("a", 0, 2), zone("b", 2, 7, "health_status: UNHEALTHY"))},
		{name: "zone-fail", none: true, cluster: "common_lb_config: {zone_aware_lb_config: {min_cluster_size: 1, fail_traffic_on_panic: true}}", endpoints: endpoints(zone("a", 0, 2), zone("b", 2, 7, "health_status: UNHEALTHY"))},
		{name: "zone-forced", cluster: extension("force_locality_direct_routing: true"), endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-forced-new", cluster: extension("force_local_zone: {min_size: 1}"), endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-forced-few", cluster: extension("force_local_zone: {min_size: 2}"), endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-forced-default", cluster: extension("force_local_zone: {}"), endpoints: endpoints(zone("a", 0, 1), zone("b", 1, 4))},
		{name: "zone-weight", cluster: extension("locality_basis: HEALTHY_HOSTS_WEIGHT"), endpoints: weighted},
		{name: "zone-number", cluster: extension(""), endpoints: weighted},
		{name: "zone-levels", cluster: aware, endpoints: endpoints(group("locality: {zone: a}, ", p.at(0), p.at(1, "health_status: UNHEALTHY")), group("locality: {zone: b}, ", p.at(2), p.at(3, "health_status: UNHEALTHY")),
			group("priority: 1, locality: {zone: a}, ", p.at(4)), group("priority: 1, locality: {zone: b}, ", p.at(5), p.at(6)))},
		{name: "zone-degraded", cluster: aware, endpoints: endpoints(group("locality: {zone: a}, ", p.at(0, "health_status: DEGRADED"), p.at(1, "health_status: DEGRADED")), zone("b", 2, 3, "health_status: DEGRADED"))},
	}
}
