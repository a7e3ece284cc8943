package interop

import "strings"

// replyManagers rewrite the replies that they make themselves.
func replyManagers() []managed {
	filter := func(code string) string {
		return "{status_code_filter: {comparison: {op: EQ, value: {default_value: " + code + ", runtime_key: none}}}}"
	}
	const said = `text_format_source: {inline_string: "%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%REQ(:path)%|%RESP(x-added)%|%RESP(x-route)%|%ROUTE_NAME%\n"}`
	mappers := `
  mappers:
  - {filter: ` + filter("404") + `, status_code: 410, body: {inline_string: "gone\n"}, headers_to_add: [{header: {key: x-added, value: "was %RESPONSE_CODE%"}}]}
  - {filter: {response_flag_filter: {flags: [UF, UH, NC]}}, body_format_override: {json_format: {code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", said: "%LOCAL_REPLY_BODY%", nested: {path: "%REQ(:path)%", none: "%REQ(x-none)%"}}}}
  - {filter: ` + filter("418") + `, headers_to_add: [{header: {key: content-type, value: text/html}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}], body_format_override: {text_format_source: {inline_string: "<b>%LOCAL_REPLY_BODY%</b>"}, content_type: text/css}}
  - {filter: {header_filter: {header: {name: x-empty, present_match: true}}}, status_code: 299, body: {inline_string: ""}}
  - {filter: {and_filter: {filters: [` + filter("301") + `, {header_filter: {header: {name: x-moved, string_match: {exact: "yes"}}}}]}}, status_code: 308, headers_to_add: [{header: {key: location, value: /elsewhere}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}
  - {filter: {grpc_status_filter: {statuses: [RESOURCE_EXHAUSTED, UNKNOWN]}}, headers_to_add: [{header: {key: x-added, value: grpc}}]}
  - {filter: {duration_filter: {comparison: {op: GE, value: {default_value: 250, runtime_key: none}}}}, headers_to_add: [{header: {key: x-added, value: late}}]}`
	grpc := "content-type: application/grpc"
	var asks []ask
	for _, path := range []string{"/nothing", "/status/404", "/lost", "/empty", "/abort", "/teapot", "/direct", "/bare", "/moved", "/late/1", "/nocluster", "/called", "/short"} {
		asks = append(asks, get(path), get(path, grpc), get(path, "x-empty: 1"), get(path, "x-moved: yes"), ask{method: "HEAD", path: path}, ask{method: "POST", path: path, body: "0123456789abc"}, get(path, "x-empty: 1", grpc))
	}
	// What is no request of the route's at all.
	asks = append(asks, get("/direct", "connection: Upgrade", "upgrade: none"), get("/a#b"), get("/direct", "origin: http://a.example"), ask{path: "/secure", host: "tls.example"}, ask{path: "/secure", host: "tls.example", headers: []string{"x-moved: yes"}})
	routes := `
typed_per_filter_config: {cors: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_origin_string_match: [{prefix: http}]}}
response_headers_to_add: [{header: {key: x-route, value: r}}]
routes:
- {match: {path: /status/404}, name: status, route: {cluster: v1}}
- {match: {path: /lost}, name: lost, route: {cluster: none}}
- {match: {path: /empty}, name: empty, route: {cluster: empty}}
- {match: {path: /nocluster}, name: nocluster, route: {cluster: nocluster}}
` + on("/abort", fault("abort: {http_status: 429, percentage: {numerator: 100}}")) + on("/teapot", fault("abort: {http_status: 418, percentage: {numerator: 100}}")) + on("/called", fault("abort: {grpc_status: 8, percentage: {numerator: 100}}")) + on("/short", awake("buffer")) + `
- {match: {path: /direct}, name: direct, direct_response: {status: 200, body: {inline_string: hello}}}
- {match: {path: /bare}, name: bare, direct_response: {status: 404}}
- {match: {prefix: /moved}, name: moved, redirect: {path_redirect: /new}}
- {match: {prefix: /late}, name: late, route: {cluster: v1, prefix_rewrite: /sleep/1000, timeout: 0.3s}}`
	secure := story{name: "tls.example", routes: "require_tls: ALL\nroutes: [{match: {prefix: /}, route: {cluster: v1}}]"}
	var out []managed
	for name, format := range map[string]string{
		"none": "", "text": "\n  body_format: {" + said + "}", "typed": "\n  body_format: {" + said + ", content_type: text/html}", "json": `
  body_format: {json_format: {code: "%RESPONSE_CODE%", said: "%LOCAL_REPLY_BODY%"}, omit_empty_values: true}`,
	} {
		out = append(out, managed{name: "reply-" + name, manager: "local_reply_config:" + mappers + format, stories: []story{{name: "a.example", routes: routes, asks: asks}, secure}})
	}
	return append(out, managed{name: "reply-only", manager: strings.TrimSpace(`
local_reply_config:
  body_format: {` + said + "}"), stories: []story{{name: "a.example", routes: routes, asks: asks}, secure}})
}
