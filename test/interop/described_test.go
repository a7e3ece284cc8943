package interop

import (
	"fmt"
	"testing"
)

// What resources say of themselves is told as Envoy tells it, in text and in JSON.
func TestMetadataAsEnvoy(t *testing.T) {
	up := newBackend(t, "v1")
	formats := map[string]string{}
	for _, kind := range []string{"METADATA(CLUSTER:", "METADATA(ROUTE:", "METADATA(UPSTREAM_HOST:", "METADATA(VIRTUAL_HOST:", "METADATA(LISTENER:", "METADATA(LISTENER_FILTER_CHAIN:", "METADATA(DYNAMIC:", "CLUSTER_METADATA(", "UPSTREAM_METADATA(", "DYNAMIC_METADATA("} {
		for _, path := range []string{"own", "own:a", "own:in", "own:in:f", "own:list", "own:none", "own:a:b", "none"} {
			formats[kind+path] = "%" + kind + path + ")%"
			formats[kind+path+" in text"] = "<%" + kind + path + ")%>"
			if kind[0] != 'C' && kind[0] != 'U' { // which Envoy does not cut
				formats[kind+path+" cut"] = "%" + kind + path + "):3%"
			}
		}
	}
	of := func(whose string) string {
		return fmt.Sprintf("metadata: {filter_metadata: {own: {a: %s and so on, in: {f: 1, g: true}, list: [1, x, {it: z}]}}}", whose)
	}
	agree(t, func(name string, run runner) (out []map[string]any) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address, listener: of("listener"), chain: of("chain"),
				manager: accessLog(p.log.file, inJSON(t, formats)),
				filters: `- {name: envoy.filters.http.set_metadata, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config, metadata: [{metadata_namespace: own, value: {a: dynamic, in: {f: 25, g: true}}}]}}`,
				hosts: `
- name: all
  domains: ["*"]
  ` + of("host") + `
  routes:
  - {match: {prefix: /direct}, direct_response: {status: 200}, ` + of("direct") + `}
  - {match: {prefix: /none}, route: {cluster: none}}
  - {match: {prefix: /}, route: {cluster: up}, ` + of("route") + `}`,
			}.String(), upstream("none", "1", of("cluster"))+fmt.Sprintf(`
  - name: up
    connect_timeout: 1s
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: %s}, %s}]}]}
    %s
`, socketAddress(up.port), of("endpoint"), of("cluster")))
		})
		for _, path := range []string{"/", "/direct", "/none"} {
			out = append(out, p.logged(t, path))
		}
		return out
	})
}

// What filters share with upstream connections is what the request left that opened them.
func TestSharedStateAsEnvoy(t *testing.T) {
	up := newBackend(t, "v1")
	formats := map[string]string{}
	for _, kind := range []string{"UPSTREAM_FILTER_STATE(", "FILTER_STATE("} {
		for _, key := range []string{"shared", "shared:PLAIN", "shared:TYPED", "own", "conn", "none"} {
			formats[kind+key] = "%" + kind + key + ")%"
			formats[kind+key+" in text"] = "<%" + kind + key + ")%>"
		}
	}
	agree(t, func(name string, run runner) (out []map[string]any) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				before: `
- name: state
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config
    on_new_connection: [{object_key: conn, factory_key: envoy.string, shared_with_upstream: TRANSITIVE, format_string: {text_format: of the connection}}]`,
				filters: `
- name: state
  typed_config: {"@type": ` + httpFilters + `set_filter_state.v3.Config, on_request_headers: [{object_key: shared, factory_key: envoy.string, shared_with_upstream: ONCE, format_string: {text_format: "%REQ(:PATH)%"}}, {object_key: own, factory_key: envoy.string, format_string: {text_format: own}}]}`,
				manager: accessLog(p.log.file, inJSON(t, formats)),
				routes: `
- {match: {prefix: /direct}, direct_response: {status: 200}}
- {match: {prefix: /none}, route: {cluster: none}}
- {match: {prefix: /}, route: {cluster: up}}`,
			}.String(), upstream("up", up.port)+upstream("none", "1"))
		})
		for _, path := range []string{"/first", "/second", "/direct", "/none"} {
			out = append(out, p.logged(t, path))
		}
		return out
	})
}

// A request whose redirect is not followed tells of the route that was found for it, and
// of the endpoint that asked for the redirect.
func TestMetadataOfRedirectsAsEnvoy(t *testing.T) {
	up := newBackend(t, "v1")
	formats := map[string]string{"CLUSTER": "%UPSTREAM_CLUSTER%"}
	for _, kind := range []string{"CLUSTER", "ROUTE", "UPSTREAM_HOST", "VIRTUAL_HOST"} {
		formats[kind+" own"] = "%METADATA(" + kind + ":own:a)%"
	}
	of := func(whose string) string { return "metadata: {filter_metadata: {own: {a: " + whose + "}}}" }
	cluster := func(name string) string {
		return fmt.Sprintf(`
  - name: %s
    connect_timeout: 1s
    load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {address: %s}, %s}]}]}
    %s
`, name, name, socketAddress(up.port), of("endpoint of "+name), of(name))
	}
	agree(t, func(name string, run runner) (out []map[string]any) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				manager: accessLog(p.log.file, inJSON(t, formats)),
				hosts: `
- name: all
  domains: ["*"]
  ` + of("host") + `
  routes:
  - {match: {prefix: /other}, route: {cluster: other}, ` + of("other route") + `}
  - {match: {prefix: /direct}, direct_response: {status: 200}, ` + of("direct") + `}
  - name: first
    match: {prefix: /first/}
    route: {cluster: up, prefix_rewrite: /, internal_redirect_policy: {predicates: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig}}]}}
    ` + of("route"),
			}.String(), cluster("up")+cluster("other"))
		})
		for _, to := range []string{"other", "direct", "nowhere", "first"} {
			out = append(out, p.logged(t, "/first/redirect/302?to=http://"+p.address+"/"+to))
		}
		return append(out, p.logged(t, "/nowhere"))
	})
}
