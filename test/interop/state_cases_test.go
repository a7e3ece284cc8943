package interop

// stateFilter leaves strings for others, where routes say so.
const stateFilter = `
- name: state
  disabled: true
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
    on_request_headers:
    - {object_key: plain, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "<%REQ(x-in)%>"}}}
    - {object_key: twice, factory_key: envoy.string, read_only: true, format_string: {text_format_source: {inline_string: first}}}
    - {object_key: twice, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "second 100%%"}}}
    - {object_key: empty, factory_key: envoy.string, format_string: {omit_empty_values: true, text_format_source: {inline_string: "%REQ(x-in)%"}}}
    - {object_key: skipped, factory_key: envoy.string, skip_if_empty: true, format_string: {omit_empty_values: true, text_format_source: {inline_string: "%REQ(x-in)%"}}}
    - {object_key: dash, factory_key: envoy.string, skip_if_empty: true, format_string: {text_format_source: {inline_string: "%REQ(x-in)%"}}}
    - {object_key: either, factory_key: envoy.string, skip_if_empty: true, format_string: {text_format: default}}
    - {object_key: either, factory_key: envoy.string, skip_if_empty: true, format_string: {omit_empty_values: true, text_format: "%REQ(x-in)%"}}
    - {object_key: all, factory_key: envoy.string, shared_with_upstream: ONCE, format_string: {text_format: "%REQ(:method)% %REQ(:path)% %PROTOCOL% %FILTER_STATE(twice:PLAIN)% %ROUTE_NAME%"}}
`

// stateStory asks for what the filter has left, in fields and in a policy.
func stateStory() story {
	const told = `response_headers_to_add: [{header: {key: x-told, value: "<%FILTER_STATE(plain:PLAIN)%|%FILTER_STATE(twice:PLAIN)%|%FILTER_STATE(empty:PLAIN)%|%FILTER_STATE(skipped:PLAIN)%|%FILTER_STATE(dash:PLAIN)%|%FILTER_STATE(either:PLAIN)%|%FILTER_STATE(all:PLAIN)%|%FILTER_STATE(plain)%|%FILTER_STATE(empty)%|%FILTER_STATE(none)%|%FILTER_STATE(conn:PLAIN)%|%FILTER_STATE(name:PLAIN)%|%FILTER_STATE(host:PLAIN)%|%FILTER_STATE(level:PLAIN)%|%FILTER_STATE(table:PLAIN)%>"}}]
`
	const host = `typed_per_filter_config: {state: {"@type": ` + httpFilters + `set_filter_state.v3.Config, on_request_headers: [{object_key: host, factory_key: envoy.string, format_string: {text_format: host}}, {object_key: level, factory_key: envoy.string, format_string: {text_format: host}}]}}
`
	own := `state: {"@type": ` + httpFilters + `set_filter_state.v3.Config, on_request_headers: [{object_key: plain, factory_key: envoy.string, format_string: {text_format: "route, after %FILTER_STATE(plain:PLAIN)%"}}, {object_key: level, factory_key: envoy.string, format_string: {text_format: route}}]}`
	policy := `envoy.filters.http.rbac: {"@type": ` + httpFilters + `rbac.v3.RBACPerRoute, rbac: {rules: {action: ALLOW, policies: {p: {permissions: [{any: true}], principals: [{filter_state: {key: plain, string_match: {exact: <let-me-in>}}}]}}}}}`
	return story{name: "filter-state", routes: told + host + "routes:\n" + on("/own", awakeAll(own)) + on("/policy", awakeAll("state", policy)) + on("/conn", awakeAll(`envoy.filters.http.rbac: {"@type": `+httpFilters+`rbac.v3.RBACPerRoute, rbac: {rules: {action: DENY, policies: {p: {permissions: [{any: true}], principals: [{filter_state: {key: conn, string_match: {exact: from 192.0.2.7}}}]}}}}}`)) + on("/asleep", "name: asleep") + on("/", "name: all\n"+awakeAll("state")),
		asks: []ask{get("/x?y"), get("/", "x-in: a"), get("/", `x-in: <a"b&c>`), get("/own", "x-in: a"), get("/policy"), get("/policy", "x-in: let-me-in"), get("/asleep"), get("/conn"), {path: "/conn", preamble: "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n"}}}
}
