package interop

import "strings"

// redirectStory is of redirects that are followed here instead of by the client.
func redirectStory() story {
	const policy = "type.googleapis.com/envoy.extensions.internal_redirect."
	follow := func(name, fields string) string {
		return "- {name: " + name + ", match: {prefix: /" + name + "/}, route: {cluster: v1, prefix_rewrite: /, internal_redirect_policy: {" + fields + "}}}\n"
	}
	// to asks for a redirect with a status.
	to := func(lines int, path, where string, headers ...string) ask {
		return ask{path: path + "?to=" + where, headers: headers, lines: lines}
	}
	post := func(lines int, path, where, body string, headers ...string) ask {
		return ask{method: "POST", path: path + "?to=" + where, headers: headers, body: body, lines: lines}
	}
	const end = "http://followed/end/x"
	large := strings.Repeat("x", 100_000)
	return story{name: "followed", routes: `
request_headers_to_add: [{header: {key: x-host, value: h}}]
response_headers_to_add: [{header: {key: x-route, value: "%ROUTE_NAME%"}}]
include_attempt_count_in_response: true
routes:
- {name: end, match: {prefix: /end}, route: {cluster: v2, timeout: 9s}}
- {name: direct, match: {prefix: /direct}, direct_response: {status: 418}}
- {name: away, match: {prefix: /away}, redirect: {host_redirect: away.example}}
- {name: missing, match: {prefix: /missing}, route: {cluster: nowhere}}
- {name: client, match: {prefix: /client/}, route: {cluster: v1, prefix_rewrite: /}}
- {name: host, match: {prefix: /host/}, route: {cluster: v1, prefix_rewrite: /, host_rewrite_literal: re.example, internal_redirect_policy: {}}, request_headers_to_add: [{header: {key: x-own, value: o}}]}
- {name: again, match: {prefix: /again/}, route: {cluster: v1, prefix_rewrite: /, retry_policy: {retry_on: 5xx, num_retries: 3}, internal_redirect_policy: {}}}
- {name: hedged, match: {prefix: /hedged/}, route: {cluster: v1, prefix_rewrite: /, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: 5xx, per_try_timeout: 5s}, internal_redirect_policy: {}}}
` + follow("one", "") + follow("zero", "max_internal_redirects: 0") + follow("three", "max_internal_redirects: 3, redirect_response_codes: [301, 303, 307, 308, 299], response_headers_to_copy: [X-Copied, x-gone]") +
		follow("cross", "allow_cross_scheme_redirect: true") + follow("safe", `allow_cross_scheme_redirect: true, predicates: [{name: p, typed_config: {"@type": `+policy+`safe_cross_scheme.v3.SafeCrossSchemeConfig}}]`) +
		follow("previous", `max_internal_redirects: 9, predicates: [{name: p, typed_config: {"@type": `+policy+`previous_routes.v3.PreviousRoutesConfig}}]`) +
		follow("allowed", `predicates: [{name: p, typed_config: {"@type": `+policy+`allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [end, direct]}}]`),
		asks: []ask{
			to(2, "/one/redirect/302", end), to(2, "/one/redirect/302", end+"?a=b&c"), to(1, "/one/redirect/301", end), to(1, "/client/redirect/302", end), to(1, "/zero/redirect/302", end), get("/one/status/200"),
			to(1, "/one/redirect/302", "/end/x"), to(1, "/one/redirect/302", ""), to(1, "/one/redirect/302", "//followed/end/x"), to(1, "/one/redirect/302", "ftp://followed/end"), to(1, "/one/redirect/302", "https://followed/end"),
			to(1, "/one/redirect/302", "http://followed/nowhere"), to(1, "/one/redirect/302", "http://unknown.example/end"), to(1, "/one/redirect/302", "http://followed"), to(1, "/one/redirect/302", "http://followed?x"),
			to(2, "/one/redirect/302", end+"%23fragment"), to(2, "/one/redirect/302", "HTTP://FOLLOWED/end/x"), to(2, "/one/redirect/302", "http://user:secret@followed/end/x"), to(1, "/one/redirect/302", "http://followed:81/end"),
			to(2, "/one/redirect/302", "http://followed/direct"), to(2, "/one/redirect/302", "http://followed/away"), to(2, "/one/redirect/302", "http://followed/missing"), to(2, "/one/redirect/302", "http://prefix/api"),
			to(2, "/host/redirect/302", end), to(2, "/cross/redirect/302", "https://followed/end/x"), to(1, "/safe/redirect/302", "https://followed/end/x"), to(2, "/safe/redirect/302", end),
			to(2, "/one/redirect/302", "http://followed/one/redirect/302?to="+end), to(3, "/three/redirect/301", "http://followed/three/redirect/301?to="+end), to(2, "/three/redirect/301", "http://followed/one/redirect/302?to="+end),
			to(3, "/previous/redirect/302", "http://followed/previous/redirect/302?to="+end), to(2, "/previous/redirect/302", "http://followed/previous/redirect/302?to=http://followed/previous/redirect/302?to="+end),
			to(2, "/allowed/redirect/302", end), to(2, "/allowed/redirect/302", "http://followed/direct"), to(1, "/allowed/redirect/302", "http://followed/client/status/200"),
			post(2, "/three/redirect/303", end, "hello", "x-gone: 1", "x-copied: mine"), post(2, "/three/redirect/307", end, "hello"), post(2, "/three/redirect/308", end, "hello"), post(1, "/three/redirect/302", end, "hello"), post(1, "/three/redirect/299", end, "hello"),
			post(2, "/one/redirect/302", end, "hello"), post(2, "/one/redirect/302", end, ""), post(2, "/one/redirect/302", end, "5\r\nhello\r\n0\r\n\r\n", "transfer-encoding: chunked"), post(2, "/three/redirect/307", end, large), post(1, "/three/redirect/307", end, strings.Repeat(large, 20)),
			{method: "HEAD", path: "/three/redirect/303?to=" + end, lines: 2}, {method: "PUT", path: "/three/redirect/303?to=" + end, body: "hello", lines: 2},
			to(2, "/again/redirect/302", "http://followed/again/flaky/r1"), post(2, "/again/redirect/302", "http://followed/again/flaky/r2", "hello"), post(2, "/hedged/redirect/302", end, "hello"),
			to(2, "/one/redirect/302", end, "x-forwarded-for: 1.2.3.4", "x-envoy-original-url: mine"), to(2, "/one/redirect/302", end, "x-forwarded-for: 10.1.2.3"),
		}}
}
