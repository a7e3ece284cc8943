package interop

// pathManagers treat slashes that are escaped in each of the ways that there are, with
// and without the other rules for paths.
func pathManagers() []managed {
	var asks []ask
	for _, path := range []string{
		"/a%5Cb", "/a%2F..%2Fb", "/a%2Fb/%2e%2e/c?x=%2F", "/a%5C..%5Cb", "/a/..%2f../c", "/a%2f%2fb", "/../../x", "/a/.%2e/b", "/a//b", "/a%2", "/%2f%00", "/a%00b", "/a%252fb", "/a%2fb%20c#d%2f", "//a%2fb",
	} {
		asks = append(asks, get(path))
	}
	var out []managed
	for name, rules := range map[string]string{"": "", "normal": "normalize_path: true\n", "merged": "merge_slashes: true\n", "both": "normalize_path: true\nmerge_slashes: true\n"} {
		for _, action := range []string{"UNESCAPE_AND_REDIRECT", "REJECT_REQUEST", "UNESCAPE_AND_FORWARD"} {
			out = append(out, managed{name: action + name, manager: rules + "path_with_escaped_slashes_action: " + action, stories: []story{{name: "a.example", routes: "routes: [{match: {prefix: /}, route: {cluster: v1}}]", asks: asks}}})
		}
	}
	return out
}

// portManagers take ports off hosts.
func portManagers() []managed {
	var asks []ask
	for _, host := range []string{"a.example", "a.example:80", "a.example:0080", "a.example.:80", "A.Example:8080", "a.example:", "[::1]", "[::1]:80", "b.example:81", "c.example:82", "PROXY"} {
		asks = append(asks, ask{path: "/", host: host}, ask{path: "/redirect", host: host})
	}
	asks = append(asks, ask{method: "CONNECT", path: "connected:80", host: "connected:80"}, ask{method: "CONNECT", path: "renamed:80", host: "renamed:80"})
	stories := []story{
		{name: "a.example", routes: "routes: [{match: {prefix: /redirect}, redirect: {path_redirect: /new}}, {match: {prefix: /}, name: a, route: {cluster: v1}}]"},
		{name: "b.example", routes: "routes: [{match: {prefix: /}, name: b, route: {cluster: v2}}]"},
		{name: "c.example:82", routes: "routes: [{match: {prefix: /}, name: with, route: {cluster: v2}}]"},
		{name: "connected", routes: "routes: [{match: {connect_matcher: {}}, name: c, route: {cluster: v1}, response_headers_to_add: [{header: {key: x-authority, value: \"%REQ(:AUTHORITY)%\"}}]}]"},
		{name: "renamed", routes: "routes: [{match: {connect_matcher: {}}, name: r, route: {cluster: v1, host_rewrite_literal: new.example}}]"},
		{name: "*", routes: "routes: [{match: {prefix: /}, name: any, route: {cluster: v2}}]", asks: asks},
	}
	var out []managed
	for name, fields := range map[string]string{"any": "strip_any_host_port: true", "matching": "strip_matching_host_port: true", "dot": "strip_any_host_port: true\nstrip_trailing_host_dot: true"} {
		out = append(out, managed{name: "port-" + name, manager: fields, stories: stories})
	}
	return out
}

// callerManagers find out who calls in other ways than by the socket, and tell who they
// are themselves.
func callerManagers() []managed {
	var asks []ask
	for _, fields := range [][]string{
		nil, {"x-from: 10.1.2.3"}, {"x-from: 1.2.3.4"}, {"x-from: ::1"}, {"x-from: nobody"}, {"x-from:"}, {"x-forwarded-for: 10.1.2.3"}, {"x-forwarded-for: 1.2.3.4"}, {"x-forwarded-for: 1.2.3.4, 10.1.2.3"}, {"x-forwarded-for: 5.6.7.8,1.2.3.4,10.1.2.3"},
		{"x-forwarded-for: 1.2.3.4, x"}, {"x-forwarded-for: 10.1.2.4,10.1.2.3"}, {"x-forwarded-for: x,10.1.2.3"}, {"x-from: 1.2.3.4", "x-forwarded-for: 10.1.2.3"}, {"x-from: x", "x-forwarded-for: 10.1.2.3"}, {"user-agent: mine"}, {"user-agent:", "x-envoy-downstream-service-cluster: mine"},
	} {
		asks = append(asks, get("/", fields...), get("/", append([]string{"x-envoy-max-retries: 5"}, fields...)...))
	}
	for i := range asks { // from elsewhere: of this machine itself Envoy tells another address
		asks[i].preamble = "PROXY TCP4 10.1.2.9 10.1.2.8 1000 80\r\n"
	}
	stories := []story{{name: "a.example", routes: `
response_headers_to_add: [{header: {key: x-client, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]
routes: [{match: {prefix: /}, route: {cluster: v1}}]`, asks: asks}}
	const extension = `{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.http.original_ip_detection.`
	header := func(more string) string {
		return extension + "custom_header.v3.CustomHeaderConfig, header_name: X-From" + more + "}}"
	}
	xff := func(fields string) string { return extension + "xff.v3.XffConfig" + fields + "}}" }
	out := []managed{{name: "caller-agent", manager: "add_user_agent: true", stories: stories}}
	for name, list := range map[string]string{
		"header": header(""), "trusted": header(", allow_extension_to_set_address_as_trusted: true"), "refused": header(", reject_with_status: {code: NotFound}"), "bad": header(", reject_with_status: {code: BadRequest}"), "forbidden": header(", reject_with_status: {code: Continue}"),
		"xff": xff(""), "hop": xff(", xff_num_trusted_hops: 1"), "append": xff(", skip_xff_append: false"), "proxies": xff(", xff_trusted_cidrs: {cidrs: [{address_prefix: 10.1.2.0, prefix_len: 24}, {address_prefix: 127.0.0.0, prefix_len: 8}]}"),
		"strangers": xff(", skip_xff_append: false, xff_trusted_cidrs: {cidrs: [{address_prefix: 10.1.3.0, prefix_len: 24}]}"), "either": header("") + ", " + xff(", skip_xff_append: false"),
	} {
		out = append(out, managed{name: "caller-" + name, manager: "original_ip_detection_extensions: [" + list + "]", stories: stories})
	}
	return out
}

// codingManager is asked with codings of transfers.
var codingManager = managed{name: "codings", stories: []story{{name: "a.example", routes: "routes: [{match: {prefix: /}, route: {cluster: v1}}]", asks: []ask{
	get("/", "te: trailers"), get("/", "te: trailers, deflate"), get("/", "te: gzip;q=0.5 ,trailers"), get("/", "te: deflate"), get("/", "te: Trailers"), get("/", "te: gzip", "te: trailers"), get("/", "te: trailers;q=1"),
	get("/", "te:"),
}}}}
