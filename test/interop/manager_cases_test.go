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
