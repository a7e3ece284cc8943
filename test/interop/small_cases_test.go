package interop

import (
	"fmt"
	"strings"
)

const httpFilters = "type.googleapis.com/envoy.extensions.filters.http."

// smallFilters are filters with few settings, asleep.
func smallFilters() string {
	filter := func(name, message, more string) string {
		return fmt.Sprintf("- {name: %s, disabled: true, typed_config: {\"@type\": %s%s%s}}\n", name, httpFilters, message, more)
	}
	return filter("hc", "health_check.v3.HealthCheck", `, pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /health}}], cluster_min_healthy_percentages: {v1: {value: 50}}`) +
		filter("hc.empty", "health_check.v3.HealthCheck", `, pass_through_mode: false, headers: [{name: ":path", string_match: {prefix: /empty}}], cluster_min_healthy_percentages: {v1: {value: 50}, empty: {value: 1}}`) +
		filter("hc.nothing", "health_check.v3.HealthCheck", `, pass_through_mode: false, headers: [{name: ":path", string_match: {prefix: /nothing}}], cluster_min_healthy_percentages: {empty: {value: 0}}`) +
		filter("hc.absent", "health_check.v3.HealthCheck", `, pass_through_mode: false, headers: [{name: ":path", string_match: {prefix: /absent}}], cluster_min_healthy_percentages: {absent: {value: 0}}`) +
		filter("hc.through", "health_check.v3.HealthCheck", `, pass_through_mode: true, cache_time: 60s, headers: [{name: ":path", string_match: {prefix: /through}}]`) +
		"- {name: fault, typed_config: {\"@type\": " + httpFilters + "fault.v3.HTTPFault}}\n" + filter("buffer", "buffer.v3.Buffer", ", max_request_bytes: 10") +
		filter("csrf", "csrf.v3.CsrfPolicy", ", filter_enabled: {default_value: {numerator: 100}}, additional_origins: [{exact: friend.example}, {suffix: .family.example}]") +
		filter("set", "set_metadata.v3.Config", ", metadata: [{metadata_namespace: fixed, value: {a: one, nested: {deep: two}, l: [1]}}]") +
		filter("to", "header_to_metadata.v3.Config", `, request_rules: [
      {header: x-version, on_header_present: {metadata_namespace: said, key: version, type: STRING}, on_header_missing: {metadata_namespace: said, key: version, value: none}, remove: true},
      {cookie: user, on_header_present: {metadata_namespace: said, key: user}},
      {header: x-count, on_header_present: {metadata_namespace: said, key: count, type: NUMBER}},
      {header: x-coded, on_header_present: {metadata_namespace: said, key: coded, encode: BASE64}},
      {header: x-path, on_header_present: {metadata_namespace: said, key: path, regex_value_rewrite: {pattern: {regex: "^/([^/]+)/.*$"}, substitution: "<\\1>"}}}]`) +
		filter("mutate", "header_mutation.v3.HeaderMutation", `, mutations: {
      request_mutations: [{append: {header: {key: x-added, value: "1"}, append_action: APPEND_IF_EXISTS_OR_ADD}}, {append: {header: {key: x-over, value: "2"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}, {append: {header: {key: x-new, value: "3"}, append_action: ADD_IF_ABSENT}}, {remove: x-gone}, {remove_on_match: {key_matcher: {prefix: x-tmp-}}}],
      response_mutations: [{append: {header: {key: x-reply, value: "%RESPONSE_CODE%"}}}, {remove: x-backend}]}`) +
		filter("query", "header_mutation.v3.HeaderMutation", `, mutations: {
      request_mutations: [{append: {header: {key: x-level, value: filter}}}],
      query_parameter_mutations: [{append: {record: {key: add, value: "1"}}}, {append: {record: {key: absent, value: "2"}, action: ADD_IF_ABSENT}}, {append: {record: {key: over, value: "a b&c=/~*%REQ(x-in)%<%PROTOCOL%"}, action: OVERWRITE_IF_EXISTS_OR_ADD}},
        {append: {record: {key: exists, value: "%REQ(:path)%"}, action: OVERWRITE_IF_EXISTS}}, {remove: gone}]}`) +
		filter("levels", "header_mutation.v3.HeaderMutation", `, most_specific_header_mutations_wins: true, mutations: {request_mutations: [{append: {header: {key: x-level, value: filter}}}]}`) +
		filter("gzip", "compressor.v3.Compressor", `, response_direction_config: {common_config: {min_content_length: 100, content_type: [application/json, text/plain]}}, compressor_library: {name: gzip, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}}`)
}

func smallStories() []story {
	told := func(operators ...string) string {
		var out []string
		for i, o := range operators {
			out = append(out, fmt.Sprintf("{header: {key: x-told-%d, value: \"<%%DYNAMIC_METADATA(%s)%%>\"}}", i, o))
		}
		return "response_headers_to_add: [" + strings.Join(out, ", ") + "]\n"
	}
	const decoded = "query parameters that are not changed stay as they are written: Envoy decodes them, and sends a space in the path"
	return []story{
		{name: "buffer", routes: "routes:\n" + on("/short", awake("buffer")) + on("/more", `typed_per_filter_config: {buffer: {"@type": `+httpFilters+`buffer.v3.BufferPerRoute, buffer: {max_request_bytes: 100}}}`),
			asks: []ask{
				{method: "POST", path: "/short", body: "0123456789"}, {method: "POST", path: "/short", body: "0123456789a"}, get("/short"),
				{method: "POST", path: "/short", headers: []string{"transfer-encoding: chunked"}, body: "5\r\nhello\r\n0\r\n\r\n"},
				{method: "POST", path: "/more", body: strings.Repeat("x", 100)}, {method: "POST", path: "/more", body: strings.Repeat("x", 101)},
			}},
		{name: "health", routes: "routes:\n" + on("/health", awake("hc")) + on("/empty", awake("hc.empty")) + on("/nothing", awake("hc.nothing")) + on("/absent", awake("hc.absent")) + on("/through", awake("hc.through")),
			asks: []ask{get("/health"), get("/healthy"), {method: "HEAD", path: "/health"}, get("/empty"), get("/nothing"), get("/absent"), get("/through"), get("/through"), {method: "POST", path: "/health", body: "x"}}},
		{name: "csrf", routes: "routes:\n" + on("/", awake("csrf")),
			asks: []ask{
				get("/", "origin: http://evil.example"), {method: "POST", path: "/", body: "x"}, {method: "POST", path: "/", body: "x", headers: []string{"origin: http://csrf"}},
				{method: "POST", path: "/", body: "x", headers: []string{"origin: http://evil.example"}}, {method: "POST", path: "/", body: "x", headers: []string{"referer: http://csrf/page"}},
				{method: "PUT", path: "/", body: "x", headers: []string{"origin: https://friend.example"}}, {method: "DELETE", path: "/", headers: []string{"origin: https://a.family.example"}},
				{method: "PATCH", path: "/", body: "x", headers: []string{"origin: null"}}, {method: "POST", path: "/", body: "x", headers: []string{"origin: http://csrf:8080"}},
			}},
		{name: "metadata", routes: "routes:\n" + on("/set", awake("set")+"\n"+told("fixed:a", "fixed:nested:deep", "fixed:nested", "fixed:none", "other:a")) +
			on("/to", awake("to")+"\n"+told("said:version", "said:user", "said:count", "said:coded", "said:path")),
			asks: []ask{
				get("/set"), get("/to"), get("/to", "x-version: 2"), get("/to", "cookie: a=b; user=jason"), get("/to", "x-count: 7"), get("/to", "x-count: seven"), get("/to", "x-coded: aGVsbG8="), get("/to", "x-coded: ???"),
				get("/to", "x-path: /first/second"), get("/to", "x-version: 1", "x-version: 2"),
			}},
		{name: "mutate", routes: "routes:\n" + on("/plain", awake("mutate")) + on("/own", `typed_per_filter_config: {mutate: {"@type": `+httpFilters+`header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-own, value: route}}}]}}}`) +
			"- {match: {prefix: /lost}, route: {cluster: nowhere}, " + awake("mutate") + "}\n- {match: {prefix: /direct}, direct_response: {status: 403}, " + awake("mutate") + "}\n" +
			on("/aborted", awakeAll("mutate", `fault: {"@type": `+httpFilters+`fault.v3.HTTPFault, abort: {http_status: 418, percentage: {numerator: 100}}}`)),
			asks: []ask{
				get("/lost"), get("/direct"), get("/aborted"),
				get("/plain"), get("/plain", "x-added: 0", "x-over: 0", "x-new: 0", "x-gone: 0"), get("/plain", "x-tmp-a: 1", "x-tmp-b: 2", "x-kept: 3"), get("/own"),
			}},
		{name: "levels", routes: "typed_per_filter_config: {" + level("query", "host", "") + ", " + level("levels", "host", "") + "}\nroutes:\n" + on("/first", awakeAll(level("query", "route", ", query_parameter_mutations: [{remove: add}]"))) +
			on("/last", awakeAll(level("levels", "route", ""))) + on("/woken", awakeAll("query", "levels")) + on("/off", "typed_per_filter_config: {query: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}") + on("/", ""),
			asks: []ask{
				{path: "/first", deviates: decoded}, get("/last?b=2&a=1"), get("/woken?z"), get("/off?z=1&y"), get("/?add=0&absent=0&over=0&exists=0&gone=0"), get("/?gone&gone=1&x", "x-in: <in>"), get("/?exists=1&exists=2&over=1&over=2"), get("/?a==b&=c"), get("/?a=c+d"),
				{path: "/?a=%20b&%61=e", deviates: decoded}, {method: "PURGE", path: "/last"}, {method: "FOO", path: "/last", deviates: "a method may be any token (RFC 9110 section 9.1): Envoy refuses those that it does not know"},
			}},
		{name: "fault", routes: "routes:\n" + on("/http", fault("abort: {http_status: 418, percentage: {numerator: 100}}")) + on("/grpc", fault("abort: {grpc_status: 5, percentage: {numerator: 100}}")) +
			on("/gone", fault("abort: {grpc_status: 14, percentage: {numerator: 1000000, denominator: MILLION}}")) + on("/none", fault("abort: {http_status: 418, percentage: {numerator: 0}}")) +
			on("/asked", fault("abort: {header_abort: {}, percentage: {numerator: 100}}, delay: {header_delay: {}, percentage: {numerator: 100}}")) + on("/some", fault("abort: {http_status: 418, percentage: {numerator: 100}}, headers: [{name: x-end, string_match: {exact: me}}]")) +
			on("/delay", fault("delay: {fixed_delay: 0.001s, percentage: {numerator: 100}}")) + on("/other", fault("upstream_cluster: v2, abort: {http_status: 418, percentage: {numerator: 100}}")) + on("/same", fault("upstream_cluster: v1, abort: {http_status: 418, percentage: {numerator: 100}}")),
			asks: []ask{
				get("/http"), get("/http", "content-type: application/grpc"), get("/grpc"), get("/grpc", "content-type: application/grpc"), get("/gone"), get("/gone", "content-type: application/grpc"), get("/none"),
				get("/asked"), get("/asked", "x-envoy-fault-abort-request: 503"), get("/asked", "x-envoy-fault-abort-request: 99"), get("/asked", "x-envoy-fault-abort-request: x"), get("/asked", "x-envoy-fault-abort-grpc-request: 16"),
				get("/asked", "x-envoy-fault-abort-grpc-request: 7", "content-type: application/grpc"), get("/asked", "x-envoy-fault-delay-request: 2"), get("/asked", "x-envoy-fault-delay-request: 2", "x-envoy-fault-abort-request: 500"),
				get("/asked", "x-envoy-fault-abort-request: 503", "x-envoy-fault-abort-request-percentage: 0"), get("/http", "x-envoy-fault-abort-request-percentage: 0"), get("/some"), get("/some", "x-end: me"), get("/delay"), get("/other"), get("/same"),
			}},
		{name: "gzip", routes: "routes:\n" + on("/", awake("gzip")),
			asks: []ask{
				get("/"), get("/", "accept-encoding: gzip"), get("/", "accept-encoding: br"), get("/", "accept-encoding: gzip;q=0"), get("/", "accept-encoding: *"), get("/", "accept-encoding: identity, gzip;q=0.5"),
				get("/status/404", "accept-encoding: gzip"), {method: "HEAD", path: "/", headers: []string{"accept-encoding: gzip"}},
			}},
	}
}

// level is what a route, or what encloses it, changes beside a filter's own.
func level(filter, name, more string) string {
	return fmt.Sprintf(`%s: {"@type": %sheader_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-level, value: %s}}}, {append: {header: {key: x-winner, value: %s}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]%s}}`, filter, httpFilters, name, name, more)
}

// fault injects faults on a route.
func fault(fields string) string {
	return fmt.Sprintf(`typed_per_filter_config: {fault: {"@type": %sfault.v3.HTTPFault, %s}}`, httpFilters, fields)
}
