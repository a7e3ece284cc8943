package interop

import "slices"

// A story is one virtual host and what is asked of it. Its host name is the
// story's name.
type story struct {
	name   string
	routes string // YAML: the virtual host's fields, routes above all
	asks   []ask
	// random is true when the answers' upstreams differ by chance: only the
	// statuses are compared.
	random bool
}

// stories are all of them.
var stories = slices.Concat(routingStories, policyStories(), limitStories(), smallStories(), contentStories(), []story{hostStory(), conditionStory(), corsStory(), corsBesideStory(), stateStory(), credentialStory(), expressionStory(), toldStory(), sessionStory(), upgradeStory(), subsetStory(), steeringStory()}, timeStories(), runtimeStories(), []story{redirectStory(), againStory(), boundedStory()})

// ask is one request.
type ask struct {
	method  string // GET when empty
	path    string
	headers []string // "name: value"
	body    string
	// host of the request when it is not the story's, PROXY for the proxy's address; old
	// is HTTP/1.0 without one.
	host string
	old  bool
	// preamble is what the connection begins with, before the request.
	preamble string
	// lines is how many lines of the access log it makes; 1 when zero.
	lines int
	// deviates says why our answer is meant to differ from Envoy's; empty when it
	// is not.
	deviates string
}

func get(path string, headers ...string) ask { return ask{path: path, headers: headers} }

// The backends: v1 and v2 echo what they get; /status/N answers N; /flaky
// answers 503 twice, then 200, per x-key; none has nobody listening; empty has
// no endpoint.
var routingStories = []story{
	{name: "grpc-timeout", routes: `
routes:
- {match: {prefix: /any}, route: {cluster: v1, timeout: 0s, max_grpc_timeout: 0s, prefix_rewrite: /sleep/300}}
- {match: {prefix: /most}, route: {cluster: v1, timeout: 15s, max_grpc_timeout: 0.1s, prefix_rewrite: /sleep/300}}
- {match: {prefix: /told}, route: {cluster: v1, timeout: 0s, max_grpc_timeout: 7s, grpc_timeout_offset: 1s}}
- {match: {prefix: /try}, route: {cluster: v1, timeout: 0s, max_grpc_timeout: 7s, retry_policy: {retry_on: 5xx, per_try_timeout: 2s}}}
- {match: {prefix: /fixed}, route: {cluster: v1, timeout: 9s}}`,
		asks: func() (asks []ask) {
			grpc := "content-type: application/grpc"
			for _, path := range []string{"/told", "/try", "/fixed"} {
				asks = append(asks, get(path), get(path, grpc))
				for _, t := range []string{"2S", "5000m", "1S", "8S", "1500000u", "20000000n", "1H", "1M", "x", "S", "123456789S", "3"} {
					asks = append(asks, get(path, grpc, "grpc-timeout: "+t))
				}
				asks = append(asks, get(path, "grpc-timeout: 2S"))
			}
			return append(asks, get("/any", grpc, "grpc-timeout: 50m"), get("/any", "grpc-timeout: 50m"), get("/most", grpc), get("/most", grpc, "grpc-timeout: 1S"))
		}()},
	{name: "template", routes: `
routes:
- match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/shelf/{shelf}/book/{book=**}"}}}
  route: {cluster: v1, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/books/{book}/of/{shelf}"}}}
- match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/one/*/end"}}}
  route: {cluster: v2}
- match: {path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/file/{name=*}/{rest=a/*}"}}}
  route: {cluster: v2, path_rewrite_policy: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/{rest}-{name}"}}}`,
		asks: []ask{get("/shelf/a/book/b"), get("/shelf/a/book/b/c/d?q=1"), get("/shelf/a/book/"), get("/shelf//book/b"), get("/shelf/a/b/book/c"), get("/one/x/end"), get("/one/end"), get("/one/x/end/"), get("/one/x/end?y"),
			get("/file/n/a/b"), get("/file/n/b/a"), get("/file/n/a/b/c"), get("/shelf/$1/book/$x")}},
	{name: "prefix", routes: `
routes:
- {name: api, match: {prefix: /api}, route: {cluster: v1}}
- {name: rest, match: {prefix: /}, route: {cluster: v2}}`,
		asks: []ask{get("/api"), get("/api/x?y=1"), get("/apix"), get("/"), get("/other?z"), get("/API")}},
	{name: "path", routes: `
routes:
- {match: {path: /exact}, route: {cluster: v1}}
- {match: {path: /FOLD, case_sensitive: false}, route: {cluster: v2}}`,
		asks: []ask{get("/exact"), get("/exact?q=1"), get("/exact/"), get("/fold"), get("/Exact")}},
	{name: "separated", routes: `
routes: [{match: {path_separated_prefix: /api/dev}, route: {cluster: v1}}]`,
		asks: []ask{get("/api/dev"), get("/api/dev/x"), get("/api/dev?x"), get("/api/developer")}},
	{name: "regex", routes: `
routes: [{match: {safe_regex: {regex: "/b[io]t/[0-9]+"}}, route: {cluster: v1}}]`,
		asks: []ask{get("/bit/12"), get("/bot/1?x=y"), get("/bat/1"), get("/bit/12/x")}},
	{name: "headers", routes: `
routes:
- {match: {prefix: /, headers: [{name: end-user, string_match: {exact: jason}}]}, route: {cluster: v2}}
- {match: {prefix: /, headers: [{name: x-pre, string_match: {prefix: ab}}]}, route: {cluster: v2}}
- {match: {prefix: /, headers: [{name: x-suf, string_match: {suffix: yz}}]}, route: {cluster: v2}}
- {match: {prefix: /, headers: [{name: x-in, string_match: {contains: mid}}]}, route: {cluster: v2}}
- {match: {prefix: /, headers: [{name: x-re, string_match: {safe_regex: {regex: "a+b"}}}]}, route: {cluster: v2}}
- {match: {prefix: /, headers: [{name: x-here, present_match: true}]}, route: {cluster: v2}}
- {match: {prefix: /post, headers: [{name: ":method", string_match: {exact: POST}}]}, route: {cluster: v2}}
- {match: {prefix: /not, headers: [{name: x-not, string_match: {exact: a}, invert_match: true}]}, route: {cluster: v2}}
- {match: {prefix: /}, route: {cluster: v1}}`,
		asks: []ask{get("/"), get("/", "end-user: jason"), get("/", "End-User: jason"), get("/", "end-user: Jason"),
			get("/", "x-pre: abc"), get("/", "x-pre: ba"), get("/", "x-suf: xyz"), get("/", "x-in: amidst"), get("/", "x-re: aaab"), get("/", "x-re: aaabc"),
			get("/", "x-here: "), {method: "POST", path: "/post", body: "hi"}, get("/post"), get("/not"), get("/not", "x-not: a"), get("/not", "x-not: b")}},
	{name: "query", routes: `
routes:
- {match: {prefix: /, query_parameters: [{name: v, string_match: {exact: "2"}}]}, route: {cluster: v2}}
- {match: {prefix: /, query_parameters: [{name: debug, present_match: true}]}, route: {cluster: v2}}
- {match: {prefix: /}, route: {cluster: v1}}`,
		asks: []ask{get("/?v=2"), get("/?v=1"), get("/?a=b&v=2"), get("/?debug"), get("/?debug=1"), get("/?nodebug")}},
	{name: "redirect", routes: `
routes:
- {match: {path: /host}, redirect: {host_redirect: new.example}}
- {match: {path: /path}, redirect: {path_redirect: /moved}}
- {match: {prefix: /pre}, redirect: {prefix_rewrite: /post}}
- {match: {path: /code}, redirect: {path_redirect: /x, response_code: FOUND}}
- {match: {path: /code307}, redirect: {path_redirect: /x, response_code: TEMPORARY_REDIRECT}}
- {match: {path: /https}, redirect: {https_redirect: true}}
- {match: {path: /port}, redirect: {port_redirect: 8443}}
- {match: {path: /strip}, redirect: {path_redirect: /s, strip_query: true}}`,
		asks: []ask{get("/host"), get("/host?q=1"), get("/path?q=1"), get("/pre/a?b"), get("/code"), get("/code307"), get("/https"), get("/port"), get("/strip?q=1")}},
	{name: "rewrite", routes: `
routes:
- {match: {prefix: /old/}, route: {cluster: v1, prefix_rewrite: /}}
- {match: {prefix: /same}, route: {cluster: v1, prefix_rewrite: /other}}
- {match: {prefix: /re}, route: {cluster: v1, regex_rewrite: {pattern: {regex: "^/re/([^/]+)/(.*)$"}, substitution: "/\\2/\\1"}}}
- {match: {prefix: /host}, route: {cluster: v1, host_rewrite_literal: rewritten.example}}
- {match: {path: /exact}, route: {cluster: v1, prefix_rewrite: /changed}}`,
		asks: []ask{get("/old/a/b?c=d"), get("/old/"), get("/same/x"), get("/same"), get("/re/a/b/c?q"), get("/re/a"), get("/host"), get("/exact?x=y")}},
	{name: "direct", routes: `
routes:
- {match: {path: /teapot}, direct_response: {status: 418, body: {inline_string: "short and stout"}}}
- {match: {path: /empty}, direct_response: {status: 204}}
- {match: {path: /head}, direct_response: {status: 200, body: {inline_string: "body"}}, response_headers_to_add: [{header: {key: x-from, value: direct}}]}`,
		asks: []ask{get("/teapot"), get("/empty"), get("/head"), {method: "HEAD", path: "/head"}, get("/none")}},
	{name: "mutation", routes: `
request_headers_to_add: [{header: {key: x-vhost, value: v}}]
response_headers_to_add: [{header: {key: x-resp-vhost, value: v}}]
routes:
- match: {prefix: /add}
  route: {cluster: v1}
  request_headers_to_add: [{header: {key: x-a, value: "1"}}, {header: {key: x-b, value: "2"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}, {header: {key: x-c, value: "3"}, append_action: ADD_IF_ABSENT}]
  response_headers_to_add: [{header: {key: x-r, value: "9"}}]
- match: {prefix: /remove}
  route: {cluster: v1}
  request_headers_to_remove: [x-gone]
  response_headers_to_remove: [x-backend]
- match: {prefix: /format}
  route: {cluster: v1}
  request_headers_to_add: [{header: {key: x-proto, value: "%PROTOCOL%"}}, {header: {key: x-percent, value: "100%%"}}, {header: {key: x-req, value: "%REQ(x-in)%"}}]`,
		asks: []ask{get("/add"), get("/add", "x-a: 0", "x-b: 0", "x-c: 0"), get("/remove", "x-gone: 1", "x-stays: 1"), get("/format", "x-in: hello")}},
	{name: "operators", routes: `
routes:
- {match: {path: /0}, name: r0, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DYNAMIC_METADATA(a:b)%>"}}]}
- {match: {path: /1}, name: r1, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%FILTER_STATE(x:PLAIN)%>"}}]}
- {match: {path: /2}, name: r2, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%QUERY_PARAM(q)%>"}}]}
- {match: {path: /3}, name: r3, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%UPSTREAM_PROTOCOL%>"}}]}
- {match: {path: /4}, name: r4, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESPONSE_FLAGS_LONG%>"}}]}
- {match: {path: /5}, name: r5, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%PROTOCOL%>"}}]}
- {match: {path: /6}, name: r6, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%ROUTE_NAME%>"}}]}
- {match: {path: /7}, name: r7, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%START_TIME(%Y)%>"}}]}
- {match: {path: /8}, name: r8, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%UPSTREAM_CLUSTER%>"}}]}
- {match: {path: /9}, name: r9, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESPONSE_FLAGS%>"}}]}
- {match: {path: /10}, name: r10, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESPONSE_CODE%>"}}]}
- {match: {path: /11}, name: r11, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESPONSE_CODE_DETAILS%>"}}]}
- {match: {path: /12}, name: r12, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%UPSTREAM_REQUEST_ATTEMPT_COUNT%>"}}]}
- {match: {path: /13}, name: r13, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%>"}}]}
- {match: {path: /14}, name: r14, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%>"}}]}
- {match: {path: /15}, name: r15, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%>"}}]}
- {match: {path: /16}, name: r16, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%>"}}]}
- {match: {path: /17}, name: r17, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQUESTED_SERVER_NAME%>"}}]}
- {match: {path: /18}, name: r18, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DOWNSTREAM_TLS_VERSION%>"}}]}
- {match: {path: /19}, name: r19, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%DOWNSTREAM_PEER_URI_SAN%>"}}]}
- {match: {path: /20}, name: r20, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQ(x-in)%>"}}]}
- {match: {path: /21}, name: r21, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQ(x-none?x-in)%>"}}]}
- {match: {path: /22}, name: r22, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQ(x-in):3%>"}}]}
- {match: {path: /23}, name: r23, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQ(:path)%>"}}]}
- {match: {path: /24}, name: r24, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%REQ(:method)%>"}}]}
- {match: {path: /25}, name: r25, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESP(x-backend)%>"}}]}
- {match: {path: /26}, name: r26, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%RESP(x-none)%>"}}]}
- {match: {path: /27}, name: r27, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%GRPC_STATUS%>"}}]}
- {match: {path: /28}, name: r28, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%BYTES_RECEIVED%>"}}]}
- {match: {path: /29}, name: r29, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%UPSTREAM_TRANSPORT_FAILURE_REASON%>"}}]}
- {match: {path: /30}, name: r30, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-value, value: "<%CONNECTION_TERMINATION_DETAILS%>"}}]}`,
		asks: []ask{get("/0", "x-in: hello"), get("/1", "x-in: hello"), get("/2?q=v", "x-in: hello"), get("/3", "x-in: hello"), get("/4", "x-in: hello"), get("/5", "x-in: hello"), get("/6", "x-in: hello"), get("/7", "x-in: hello"), get("/8", "x-in: hello"), get("/9", "x-in: hello"), get("/10", "x-in: hello"), get("/11", "x-in: hello"), get("/12", "x-in: hello"), get("/13", "x-in: hello"), get("/14", "x-in: hello"), get("/15", "x-in: hello"), get("/16", "x-in: hello"), get("/17", "x-in: hello"), get("/18", "x-in: hello"), get("/19", "x-in: hello"), get("/20", "x-in: hello"), get("/21", "x-in: hello"), get("/22", "x-in: hello"), get("/23", "x-in: hello"), get("/24", "x-in: hello"), get("/25", "x-in: hello"), get("/26", "x-in: hello"), get("/27", "x-in: hello"), get("/28", "x-in: hello"), get("/29", "x-in: hello"), get("/30", "x-in: hello")}},
	{name: "weighted", random: true, routes: `
routes:
- {match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: v1, weight: 50}, {name: v2, weight: 50}]}}}`,
		asks: []ask{get("/"), get("/")}},
	{name: "weightzero", routes: `
routes:
- match: {prefix: /}
  route:
    weighted_clusters:
      clusters:
      - {name: v1, weight: 0}
      - {name: v2, weight: 100, request_headers_to_add: [{header: {key: x-picked, value: v2}}], response_headers_to_add: [{header: {key: x-picked, value: v2}}]}`,
		asks: []ask{get("/"), get("/a")}},
	{name: "timeout", routes: `
routes:
- {match: {prefix: /sleep}, route: {cluster: v1, timeout: 0.2s}}
- {match: {prefix: /}, route: {cluster: v1, timeout: 5s}}`,
		asks: []ask{get("/sleep/1000"), get("/sleep/0"), get("/")}},
	{name: "retry", routes: `
routes:
- {match: {prefix: /flaky}, route: {cluster: v1, retry_policy: {retry_on: "5xx", num_retries: 3}}}
- {match: {prefix: /status/503}, route: {cluster: v1, retry_policy: {retry_on: "gateway-error", num_retries: 2}}}
- {match: {prefix: /status/409}, route: {cluster: v1, retry_policy: {retry_on: "retriable-4xx", num_retries: 1}}}
- {match: {prefix: /status/418}, route: {cluster: v1, retry_policy: {retry_on: "retriable-status-codes", retriable_status_codes: [418], num_retries: 1}}}
- {match: {prefix: /none}, route: {cluster: none, retry_policy: {retry_on: "connect-failure", num_retries: 2}}}`,
		asks: []ask{get("/flaky/a"), {method: "POST", path: "/flaky/b", body: "again and again"}, get("/status/503"), get("/status/409"), get("/status/418"), get("/none")}},
	{name: "failures", routes: `
routes:
- {match: {prefix: /none}, route: {cluster: none}}
- {match: {prefix: /empty}, route: {cluster: empty}}
- {match: {prefix: /unknown}, route: {cluster: nowhere}}
- {match: {prefix: /unknown500}, route: {cluster: nowhere, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}}
- {match: {prefix: /v1}, route: {cluster: v1, prefix_rewrite: /}}`,
		asks: []ask{get("/none"), get("/empty"), get("/unknown"), get("/missing"), get("/v1status/500"), get("/v1reset")}},
	{name: "attempts", routes: `
include_request_attempt_count: true
include_attempt_count_in_response: true
routes: [{match: {prefix: /}, route: {cluster: v1, retry_policy: {retry_on: "5xx", num_retries: 2}}}]`,
		asks: []ask{get("/"), get("/flaky/c")}},
	{name: "methods", routes: `
routes: [{match: {prefix: /}, route: {cluster: v1}}]`,
		asks: []ask{{method: "PUT", path: "/", body: "put"}, {method: "DELETE", path: "/"}, {method: "PATCH", path: "/", body: "x"}, {method: "OPTIONS", path: "/"},
			{method: "HEAD", path: "/"}, {method: "POST", path: "/", body: ""}, {method: "POST", path: "/chunked", headers: []string{"transfer-encoding: chunked"}, body: "5\r\nhello\r\n0\r\n\r\n"},
			get("/", "connection: close"), get("/", "connection: x-hop", "x-hop: 1"), get("/", "x-forwarded-for: 1.2.3.4"), get("/", "expect: 100-continue"),
			get("/", "x-envoy-retry-on: 5xx"), get("/", "te: trailers"), get("/", "x-dup: a", "x-dup: b"), get("/%41%2fb"), get("/a/../b"), get("/a//b"), get("/a;p=1?x=%20")}},
}
