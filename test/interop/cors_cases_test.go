package interop

const corsFilter = "\n- {name: cors, typed_config: {\"@type\": " + httpFilters + "cors.v3.Cors}}\n"

// corsStory asks as browsers do on behalf of pages of other origins.
func corsStory() story {
	policy := func(fields string) string {
		return `cors: {"@type": ` + httpFilters + `cors.v3.CorsPolicy, ` + fields + `}`
	}
	const shop = `allow_origin_string_match: [{exact: "https://shop.example"}, {prefix: "https://dev."}]`
	origin := func(o string) string { return "origin: " + o }
	preflight := func(path, o string, more ...string) ask {
		return ask{method: "OPTIONS", path: path, headers: append([]string{origin(o), "access-control-request-method: PUT"}, more...)}
	}
	s := story{name: "cors", routes: "typed_per_filter_config: {" + policy(`allow_origin_string_match: [{exact: "https://host.example"}], allow_methods: "GET,HOST", max_age: "7", expose_headers: x-host`) + "}\nroutes:\n" +
		on("/all", awakeAll(policy(shop+`, allow_methods: "GET,PUT", allow_headers: "x-a,x-b", expose_headers: "x-c", max_age: "10", allow_credentials: true`))) +
		on("/some", awakeAll(policy(shop))) + on("/star", awakeAll(policy(`allow_origin_string_match: [{exact: "*"}], allow_credentials: true`))) + on("/none", awakeAll(policy(`allow_methods: GET`))) +
		on("/strict", awakeAll(policy(shop+`, forward_not_matching_preflights: false`))) + on("/private", awakeAll(policy(shop+", allow_private_network_access: true"))) + on("/off", awakeAll(policy(shop+`, filter_enabled: {default_value: {numerator: 0}}`))) +
		on("/any", awakeAll(policy(shop+`, allow_methods: "*", allow_headers: "*", expose_headers: "*"`))) + on("/any-with", awakeAll(policy(shop+`, allow_methods: "*", allow_headers: "*", allow_credentials: true`))) +
		"- {match: {prefix: /refused}, direct_response: {status: 403}, " + awakeAll(policy(shop+", expose_headers: x-c")) + "}\n- {match: {prefix: /lost}, route: {cluster: nowhere}, " + awakeAll(policy(shop)) + "}\n" +
		on("/reply", awakeAll(policy(shop+", allow_credentials: true"))) + on("/", "")}
	for _, path := range []string{"/all", "/some", "/star", "/none", "/strict", "/private", "/off", "/any", "/any-with", "/refused", "/lost", "/reply?access-control-allow-origin=x&access-control-expose-headers=y&vary=z", "/status/404", "/"} {
		for _, o := range []string{"https://shop.example", "https://dev.example", "https://host.example", "https://evil.example", "null"} {
			s.asks = append(s.asks, get(path, origin(o)), preflight(path, o), preflight(path, o, "access-control-request-headers: x-z", "access-control-request-private-network: true"))
		}
		s.asks = append(s.asks, get(path), ask{method: "OPTIONS", path: path}, ask{method: "OPTIONS", path: path, headers: []string{"access-control-request-method: PUT"}}, ask{method: "OPTIONS", path: path, headers: []string{origin("https://shop.example")}},
			ask{method: "POST", path: path, body: "x", headers: []string{origin("https://shop.example")}})
	}
	return s
}

// corsBesideStory has policies where they stood before filters had settings for routes,
// and origins that are compared with a star.
func corsBesideStory() story {
	policy := func(fields string) string {
		return `cors: {"@type": ` + httpFilters + `cors.v3.CorsPolicy, ` + fields + `}`
	}
	const shop = `allow_origin_string_match: [{exact: "https://shop.example"}]`
	beside := func(prefix, fields, more string) string {
		return "- match: {prefix: " + prefix + "}\n  route: {cluster: v1, cors: {" + fields + "}}\n" + indent(more, "  ") + "\n"
	}
	star := func(prefix, origin string) string {
		return on(prefix, awakeAll(policy("allow_origin_string_match: ["+origin+"]")))
	}
	s := story{name: "cors-beside", routes: `
cors: {allow_origin_string_match: [{exact: "https://host.example"}], allow_methods: "GET,HOST", max_age: "7", expose_headers: x-host}
routes:
` + beside("/own", shop+`, allow_methods: "PUT", allow_headers: "x-a", allow_credentials: true, allow_private_network_access: true`, awakeAll("cors")) +
		beside("/methods", "allow_methods: DELETE", awakeAll("cors")) + beside("/strict", shop+", forward_not_matching_preflights: false", awakeAll("cors")) +
		beside("/off", shop+", filter_enabled: {default_value: {numerator: 0}}", awakeAll("cors")) + beside("/both", shop+", allow_methods: PUT", awakeAll(policy("allow_methods: PATCH"))) +
		beside("/asleep", shop, "") + beside("/disabled", shop, `typed_per_filter_config: {cors: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}`) +
		beside("/empty", "", awakeAll("cors")) + "- {match: {prefix: /direct}, direct_response: {status: 403}, " + awakeAll("cors") + "}\n" + on("/host", awakeAll("cors")) +
		star("/prefix", `{prefix: "*"}`) + star("/suffix", `{suffix: "*"}`) + star("/contains", `{contains: "*"}`) + star("/regex", `{safe_regex: {regex: \*}}`) + star("/all", `{safe_regex: {regex: .*}}`) +
		star("/second", `{exact: "https://no.example"}, {safe_regex: {regex: "[*]"}}`) + on("/", "")}
	for _, path := range []string{"/own", "/methods", "/strict", "/off", "/both", "/asleep", "/disabled", "/empty", "/direct", "/host", "/prefix", "/suffix", "/contains", "/regex", "/all", "/second", "/"} {
		for _, origin := range []string{"https://shop.example", "https://host.example", "https://evil.example"} {
			s.asks = append(s.asks, get(path, "origin: "+origin), ask{method: "OPTIONS", path: path, headers: []string{"origin: " + origin, "access-control-request-method: PUT", "access-control-request-private-network: true"}})
		}
	}
	return s
}
