package interop

// hostStory is of hosts that are made of the request.
func hostStory() story {
	return story{name: "hosts", routes: `
routes:
- {match: {prefix: /field}, route: {cluster: v1, host_rewrite_header: X-Host}}
- {match: {prefix: /told}, route: {cluster: v1, host_rewrite_header: x-host, append_x_forwarded_host: true}}
- {match: {prefix: /pseudo}, route: {cluster: v1, host_rewrite_header: ":path"}}
- {match: {prefix: /set}, route: {cluster: v1, host_rewrite_header: x-host}, request_headers_to_add: [{header: {key: x-host, value: "set.%REQ(x-in)%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}
- {match: {prefix: /gone}, route: {cluster: v1, host_rewrite_header: x-host}, request_headers_to_remove: [x-host]}
- {match: {prefix: /path}, route: {cluster: v1, host_rewrite_path_regex: {pattern: {regex: "^/path/([^/]+)/.*$"}, substitution: "\\1.example"}}}
- {match: {prefix: /both}, route: {cluster: v1, prefix_rewrite: /was, host_rewrite_path_regex: {pattern: {regex: "^/both/(.+)$"}, substitution: "\\1"}, append_x_forwarded_host: true}}
- {match: {prefix: /tail}, route: {cluster: v1, host_rewrite_path_regex: {pattern: {regex: "/"}, substitution: "-"}}}
- {match: {prefix: /weighted}, route: {host_rewrite_header: x-host, weighted_clusters: {clusters: [{name: v2, weight: 1, host_rewrite_literal: one.example}]}}}
- {match: {prefix: /chosen}, route: {host_rewrite_header: x-host, weighted_clusters: {clusters: [{name: v2, weight: 1, request_headers_to_add: [{header: {key: x-host, value: two.example}}]}]}}}
- {match: {prefix: /twice}, route: {host_rewrite_literal: route.example, append_x_forwarded_host: true, weighted_clusters: {clusters: [{name: v2, weight: 1, host_rewrite_literal: cluster.example}]}}}
- {match: {prefix: /once}, route: {append_x_forwarded_host: true, weighted_clusters: {clusters: [{name: v2, weight: 1, host_rewrite_literal: cluster.example}]}}}
- {match: {prefix: /same}, route: {cluster: v1, host_rewrite_literal: hosts, append_x_forwarded_host: true}}
- {match: {prefix: /literal}, route: {cluster: v1, host_rewrite_literal: route.example, append_x_forwarded_host: true}}
- {match: {prefix: /}, route: {cluster: v1}}`,
		asks: []ask{
			get("/field"), get("/field", "x-host: a.example"), get("/field", "x-host: a.example:81"), get("/field", "x-host: a.example", "x-host: b.example"), get("/field", "x-host:"), get("/field", "x-host: hosts"),
			get("/told", "x-host: a.example"), get("/told", "x-host: a.example", "x-forwarded-host: before"), get("/told"), get("/pseudo"), get("/set", "x-in: a"), get("/set", "x-host: mine"), get("/gone", "x-host: a.example"),
			get("/path/shop/x?q=/1/"), get("/path"), get("/path//x"), get("/both/a.example"), get("/both/a.example?q=1"), get("/both"), get("/tail/a/b"),
			get("/weighted", "x-host: a.example"), get("/weighted"), get("/chosen", "x-host: a.example"), get("/chosen"), get("/", "x-host: a.example"), get("/same"), get("/twice"), get("/once"), get("/literal"), get("/literal", "x-forwarded-host: before", "x-forwarded-host: then"),
		}}
}
