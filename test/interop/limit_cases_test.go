package interop

import "fmt"

// limitFilters are the filters of rate limits.
const limitFilters = `
- name: limit.local
  disabled: true
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: local}
- name: limit.including
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: local
    filter_enabled: {default_value: {numerator: 100}}
    filter_enforced: {default_value: {numerator: 100}}
    vh_rate_limits: INCLUDE
    token_bucket: {max_tokens: 100, fill_interval: 3600s}
    descriptors: [{entries: [{key: generic_key, value: host}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]
- name: limit.global
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
    domain: shop
    timeout: 2s
    enable_x_ratelimit_headers: DRAFT_VERSION_03
    rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: services}}}
- name: limit.shut
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
    domain: shop
    timeout: 2s
    failure_mode_deny: true
    rate_limited_as_resource_exhausted: true
    rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: services}}}
`

// local is a local limit on a route.
func local(more string) string {
	return fmt.Sprintf(`typed_per_filter_config:
  limit.local:
    "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: local
    filter_enabled: {default_value: {numerator: 100}}
    filter_enforced: {default_value: {numerator: 100}}
%s`, indent(more, "    "))
}

// limited is a route with rate limits.
func limited(prefix, limits, more string) string {
	return fmt.Sprintf("- match: {prefix: %s}\n  route: {cluster: v1, rate_limits: [%s]}\n%s\n", prefix, limits, indent(more, "  "))
}

func limitStories() []story {
	const two = "token_bucket: {max_tokens: 2, tokens_per_fill: 1, fill_interval: 3600s}"
	perHost := func(prefix, limits, more string) string {
		const route, host = "{entries: [{key: generic_key, value: route}], token_bucket: {max_tokens: 2, fill_interval: 3600s}}", "{entries: [{key: generic_key, value: host}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}"
		return limited(prefix, limits, local("token_bucket: {max_tokens: 100, fill_interval: 3600s}\ndescriptors: ["+route+", "+host+"]"+more))
	}
	asked := func(actions string) string { return "{actions: [" + actions + "]}" }
	global := func(prefix, actions string) string { return limited(prefix, asked(actions), awake("limit.global")) }
	return []story{
		{name: "local", routes: "routes:\n" +
			on("/two", local(two)) +
			on("/other", local(two+"\nstatus: {code: ServiceUnavailable}\nresponse_headers_to_add: [{header: {key: x-limited, value: \"local %REQ(x-user)%\"}}]")) +
			on("/told", local(two+"\nenable_x_ratelimit_headers: DRAFT_VERSION_03")) +
			on("/grpc", local(two+"\nrate_limited_as_resource_exhausted: true")) +
			on("/marked", `typed_per_filter_config: {limit.local: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 3600s}, filter_enabled: {default_value: {numerator: 100}}, request_headers_to_add_when_not_enforced: [{header: {key: x-over, value: "over %REQ(x-user)%"}}]}}`) +
			on("/unset", `typed_per_filter_config: {limit.local: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 3600s}}}`) +
			limited("/user", asked("{request_headers: {header_name: x-user, descriptor_key: user}}"), local("token_bucket: {max_tokens: 100, fill_interval: 3600s}\ndescriptors: [{entries: [{key: user, value: jason}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]")) +
			limited("/path", asked("{generic_key: {descriptor_value: a}}, {header_value_match: {descriptor_value: slow, headers: [{name: x-slow, present_match: true}]}}"), local("token_bucket: {max_tokens: 100, fill_interval: 3600s}\ndescriptors: [{entries: [{key: generic_key, value: a}, {key: header_match, value: slow}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]")),
			asks: []ask{
				get("/two"), get("/two"), get("/two"), get("/two"), {method: "HEAD", path: "/two"}, {method: "POST", path: "/two", body: "hello"},
				get("/other"), get("/other"), get("/other"), get("/told"), get("/told"), get("/grpc"), get("/grpc"), get("/grpc", "content-type: application/grpc"),
				get("/marked"), get("/marked", "x-user: ann"), get("/other", "x-user: ann"), get("/unset"), get("/unset"), get("/user"), get("/user", "x-user: jason"), get("/user", "x-user: jason"), get("/user", "x-user: ann"), get("/user", "x-user: ann"),
				get("/path"), get("/path"), get("/path", "x-slow: 1"), get("/path", "x-slow: 1"),
			}},
		{name: "local-host", routes: "rate_limits: [{actions: [{generic_key: {descriptor_value: host}}]}]\nroutes:\n" +
			perHost("/override", "{actions: [{generic_key: {descriptor_value: route}}]}", "") + perHost("/include", "{actions: [{generic_key: {descriptor_value: route}}]}", "\nvh_rate_limits: INCLUDE") +
			perHost("/ignore/none", "", "\nvh_rate_limits: IGNORE") + perHost("/ignore", "{actions: [{generic_key: {descriptor_value: route}}]}", "\nvh_rate_limits: IGNORE") + perHost("/none", "", "") +
			limited("/filter", "{actions: [{generic_key: {descriptor_value: route}}]}", awake("limit.including")) +
			limited("/values", asked("{request_headers: {header_name: x-user, descriptor_key: user}}"), local("token_bucket: {max_tokens: 100, fill_interval: 3600s}\nmax_dynamic_descriptors: 2\ndescriptors: [{entries: [{key: user}], token_bucket: {max_tokens: 1, fill_interval: 3600s}}]")),
			asks: func() (asks []ask) {
				for _, path := range []string{"/override", "/include", "/ignore/none", "/ignore", "/none", "/filter"} {
					asks = append(asks, get(path), get(path), get(path))
				}
				for _, user := range []string{"ann", "bob", "ann", "eve", "ann", "bob", "eve"} {
					asks = append(asks, get("/values", "x-user: "+user))
				}
				return asks
			}()},
		{name: "global", routes: "rate_limits: [{actions: [{generic_key: {descriptor_value: host}}]}]\nroutes:\n" +
			global("/generic", "{generic_key: {descriptor_value: a}}, {generic_key: {descriptor_key: k, descriptor_value: b}}") +
			global("/header", "{request_headers: {header_name: x-user, descriptor_key: user}}") +
			global("/skip", "{generic_key: {descriptor_value: a}}, {request_headers: {header_name: x-user, descriptor_key: user, skip_if_absent: true}}") +
			global("/limit", "{request_headers: {header_name: x-limit, descriptor_key: limit}}") +
			global("/query", "{query_parameters: {query_parameter_name: user, descriptor_key: user}}") +
			global("/client", "{remote_address: {}}") +
			global("/masked", "{masked_remote_address: {v4_prefix_mask_len: 24}}") +
			global("/cluster", "{destination_cluster: {}}") + global("/source", "{source_cluster: {}}") +
			global("/match", "{header_value_match: {descriptor_value: on-it, headers: [{name: x-a, string_match: {exact: \"1\"}}]}}") +
			global("/nomatch", "{header_value_match: {descriptor_key: k, descriptor_value: off-it, expect_match: false, headers: [{name: x-a, present_match: true}]}}") +
			global("/param", "{query_parameter_value_match: {descriptor_value: p, query_parameters: [{name: a, string_match: {exact: \"1\"}}]}}") +
			limited("/two", "{actions: [{generic_key: {descriptor_value: a}}]}, {actions: [{generic_key: {descriptor_value: b}}]}, {stage: 1, actions: [{generic_key: {descriptor_value: c}}]}", awake("limit.global")) +
			"- {match: {prefix: /both}, route: {cluster: v1, include_vh_rate_limits: true, rate_limits: [{actions: [{generic_key: {descriptor_value: a}}]}]}, " + awake("limit.global") + "}\n" +
			limited("/shut", asked("{request_headers: {header_name: x-limit, descriptor_key: limit}}"), awake("limit.shut")) +
			on("/ignore", `typed_per_filter_config: {limit.global: {"@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute, vh_rate_limits: IGNORE}}`) + on("/host", awake("limit.global")) + on("/none", ""),
			asks: []ask{
				get("/generic"), get("/header"), get("/header", "x-user: jason"), get("/skip"), get("/skip", "x-user: jason"), get("/limit", "x-limit: over"), get("/limit", "x-limit: body"), get("/limit", "x-limit: error"), get("/limit", "x-limit: fine"),
				{method: "POST", path: "/limit", body: "hello", headers: []string{"x-limit: over"}}, get("/query?user=jason"), get("/query"), get("/client"), get("/client", "x-forwarded-for: 1.2.3.4"), get("/masked"), get("/masked", "x-forwarded-for: 1.2.3.4"),
				get("/cluster"), get("/source"), get("/match", "x-a: 1"), get("/match"), get("/nomatch", "x-a: 1"), get("/nomatch"), get("/param?a=1"), get("/param?a=2"), get("/two"), get("/both"),
				get("/shut", "x-limit: error"), get("/shut", "x-limit: over"), get("/shut", "x-limit: over", "content-type: application/grpc"), get("/shut", "x-limit: error", "content-type: application/grpc"), get("/ignore"), get("/host"), get("/none"),
			}},
	}
}
