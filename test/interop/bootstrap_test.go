package interop

import (
	"fmt"
	"strings"
)

// upstreams are what both proxies forward to and ask.
type upstreams struct {
	v1, v2   *backend
	services services
	// proxied is the address of a backend that expects PROXY headers.
	proxied string
	// loggers are further access loggers, as YAML.
	loggers string
	// stories are those of the bootstrap, the ones of all tests when nil. manager and
	// table are further fields of the connection manager and its routes, as YAML.
	stories        []story
	manager, table string
}

// bootstrap is what both proxies run.
func (up upstreams) bootstrap(p *peer) string {
	var hosts strings.Builder
	if up.stories == nil {
		up.stories = stories
	}
	for _, s := range up.stories {
		fmt.Fprintf(&hosts, "- name: %q\n  domains: [%q]\n%s\n", s.name, s.name, indent(s.routes, "  "))
	}
	return runtimeLayers + `
node: {id: test, cluster: test, metadata: {labels: {app: shop, tier: web, count: 1}}}` +
		static(web{
			name: "web", address: p.address, filters: filters(), hosts: hosts.String(),
			listener: `
listener_filters:
- name: envoy.filters.listener.proxy_protocol
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true}`,
			before: `
- name: state
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config
    on_new_connection: [{object_key: conn, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}}]
    on_downstream_tls_handshake: [{object_key: name, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "sni %REQUESTED_SERVER_NAME%"}}}]`,
			manager: up.manager + `
codec_type: AUTO
internal_address_config: {cidr_ranges: [{address_prefix: 10.1.2.0, prefix_len: 24}]}
upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}, {upgrade_type: closed, enabled: false}]
access_log:
- name: envoy.access_loggers.file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: ` + p.log.file + `
    log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %ROUTE_NAME% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"}}` + up.loggers,
			table: up.table + `
validate_clusters: false
typed_per_filter_config:
  state: {"@type": ` + httpFilters + `set_filter_state.v3.Config, on_request_headers: [{object_key: table, factory_key: envoy.string, format_string: {text_format: table}}, {object_key: level, factory_key: envoy.string, format_string: {text_format: table}}]}
  levels: {"@type": ` + httpFilters + `header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{append: {header: {key: x-level, value: table}}}]}}`,
		}.String(), up.clusters()) + `
  secrets:
  - {name: basic, generic_secret: {secret: {inline_string: "Basic amFzb246c2VjcmV0"}}}
  - {name: plain, generic_secret: {secret: {inline_string: top-secret}}}
`
}

func (up upstreams) clusters() string {
	const sockets = "type.googleapis.com/envoy.extensions.transport_sockets."
	out := "  - {name: empty, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: empty}}\n"
	for _, c := range [][2]string{{"v1", up.v1.port}, {"v2", up.v2.port}, {"none", "1"}, {"brief", up.v1.port}, {"few", up.v1.port}, {"brief2", up.v1.port}, {"few2", up.v1.port}} {
		out += upstream(c[0], c[1], boundedClusters[c[0]])
	}
	for _, version := range []string{"1", "2"} {
		out += upstream("pp"+version, up.proxied, fmt.Sprintf(`transport_socket: {name: pp, typed_config: {"@type": %sproxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {version: V%s}, transport_socket: {name: raw, typed_config: {"@type": %sraw_buffer.v3.RawBuffer}}}}`, sockets, version, sockets))
	}
	return out + upstream("services", up.services.address, speakHTTP2) + indent(subsetClusters(up)+againClusters(up), "  ") + "\n"
}

func indent(text, by string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	return by + strings.Join(lines, "\n"+by)
}
