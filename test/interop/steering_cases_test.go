package interop

// steeringStory is of callers that say themselves how long they wait and what is
// tried again: believed from inside, which an address in x-forwarded-for makes one.
func steeringStory() story {
	const inside = "x-forwarded-for: 10.1.2.3"
	near := func(path string, headers ...string) ask { return get(path, append(headers, inside)...) }
	return story{name: "steering", routes: `
routes:
- {match: {prefix: /policy}, route: {cluster: v1, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 1, retriable_status_codes: [418]}}}
- {match: {prefix: /zero}, route: {cluster: v1, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 0}}}
- {match: {prefix: /set}, route: {cluster: v1, prefix_rewrite: /}, request_headers_to_add: [{header: {key: x-envoy-retry-on, value: 5xx}}, {header: {key: x-envoy-max-retries, value: "2"}}]}
- {match: {prefix: /limit}, route: {cluster: v1, prefix_rewrite: /}, request_headers_to_add: [{header: {key: x-envoy-upstream-rq-timeout-ms, value: "5"}}]}
- {match: {prefix: /}, route: {cluster: v1, timeout: 9s}}`,
		asks: []ask{
			near("/"), near("/", "x-request-id: mine"), near("/", "x-envoy-internal: false"), near("/", "x-envoy-decorator-operation: a"),
			get("/", "x-forwarded-for: 10.1.3.3"), get("/", "x-forwarded-for: 10.1.2.3, 10.1.2.4"), get("/", "x-forwarded-for: no"), get("/", "x-envoy-internal: true"),
			near("/", "x-envoy-upstream-rq-timeout-ms: 7000"), near("/", "x-envoy-upstream-rq-timeout-ms: soon"), near("/", "x-envoy-upstream-rq-timeout-ms: 0"), near("/", "x-envoy-upstream-rq-timeout-ms: -1"),
			near("/sleep/2000", "x-envoy-upstream-rq-timeout-ms: 50"), get("/sleep/0", "x-envoy-upstream-rq-timeout-ms: 50"),
			near("/", "x-envoy-upstream-rq-per-try-timeout-ms: 500"), near("/", "x-envoy-upstream-rq-per-try-timeout-ms: 50000"), near("/sleep/2000", "x-envoy-upstream-rq-per-try-timeout-ms: 50"),
			near("/sleep/2000", "x-envoy-upstream-rq-per-try-timeout-ms: 50", "x-envoy-retry-on: 5xx"), near("/sleep/2000", "x-envoy-upstream-rq-per-try-timeout-ms: 50", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 2"),
			near("/", "x-envoy-expected-rq-timeout-ms: 70"),
			near("/flaky/s1", "x-envoy-retry-on: 5xx"), near("/flaky/s2", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3"), near("/flaky/s3", "x-envoy-retry-on: gateway-error , reset", "x-envoy-max-retries: 2"),
			near("/flaky/s4", "x-envoy-retry-on: nonsense", "x-envoy-max-retries: 3"), near("/flaky/s5", "x-envoy-max-retries: 3"), near("/flaky/s6", "x-envoy-retry-grpc-on: 5xx", "x-envoy-max-retries: 3"),
			get("/flaky/s7", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3"), near("/policyflaky/s8"), near("/policyflaky/s9", "x-envoy-max-retries: 2"), near("/policyflaky/s10", "x-envoy-max-retries: 0"),
			near("/policyflaky/s11", "x-envoy-max-retries: many"), near("/zeroflaky/s12"), near("/setflaky/s13"), get("/setflaky/s14"),
			near("/status/418", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 500,418"), near("/status/500", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 418, no"),
			near("/policystatus/418", "x-envoy-retry-on: retriable-status-codes"), near("/policystatus/410", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 410", "x-envoy-max-retries: 2"),
			near("/", "x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: X-Backend"), near("/", "x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: no,x-backend"),
			near("/", "x-envoy-retriable-header-names: x-backend"), near("/", "x-envoy-retry-grpc-on: cancelled"), near("/", "x-envoy-hedge-on-per-try-timeout: true"),
			near("/", "x-envoy-upstream-alt-stat-name: a"), near("/", "x-envoy-ip-tags: a"), near("/", "x-envoy-original-url: a"), near("/", "x-envoy-original-path: a"), get("/", "x-envoy-original-path: a"),
			{path: "/limit", headers: []string{inside}, deviates: "a route's own `x-envoy-upstream-rq-timeout-ms` is heeded, not passed on"},
		}}
}
