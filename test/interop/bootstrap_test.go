package interop

import (
	"fmt"
	"net"
	"strings"
)

// upstreams are what both proxies forward to and ask.
type upstreams struct {
	v1, v2   *backend
	services services
	// proxied is the port of a backend that expects PROXY headers.
	proxied string
	// loggers are further access loggers, as YAML.
	loggers string
	// stories are those of the bootstrap, the ones of all tests when nil. manager and
	// table are further fields of the connection manager and its routes, as YAML.
	stories        []story
	manager, table string
}

// bootstrapText is the bootstrap that both proxies run.
func bootstrapText(p *peer, up upstreams) string {
	host, port, _ := net.SplitHostPort(p.address)
	var hosts strings.Builder
	if up.stories == nil {
		up.stories = stories
	}
	for _, s := range up.stories {
		fmt.Fprintf(&hosts, "- name: %s\n  domains: [%q]\n%s\n", s.name, s.name, indent(s.routes, "  "))
	}
	return fmt.Sprintf(`
node: {id: test, cluster: test, metadata: {labels: {app: shop, tier: web, count: 1}}}
%s
static_resources:
  secrets:
  - {name: basic, generic_secret: {secret: {inline_string: "Basic amFzb246c2VjcmV0"}}}
  - {name: plain, generic_secret: {secret: {inline_string: top-secret}}}
  listeners:
  - name: web
    address: {socket_address: {address: %s, port_value: %s}}
    listener_filters:
    - name: envoy.filters.listener.proxy_protocol
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true}
    filter_chains:
    - filters:
      - name: state
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config
          on_new_connection: [{object_key: conn, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "from %%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%%"}}}]
          on_downstream_tls_handshake: [{object_key: name, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "sni %%REQUESTED_SERVER_NAME%%"}}}]
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
%s
          codec_type: AUTO
          internal_address_config: {cidr_ranges: [{address_prefix: 10.1.2.0, prefix_len: 24}]}
          upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}, {upgrade_type: closed, enabled: false}]
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: %s
              log_format: {text_format_source: {inline_string: "%%RESPONSE_CODE%% %%RESPONSE_FLAGS%% %%RESPONSE_CODE_DETAILS%% %%UPSTREAM_CLUSTER%% %%ROUTE_NAME%% %%UPSTREAM_REQUEST_ATTEMPT_COUNT%%\n"}}
%s
          http_filters:
%s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            name: web
            validate_clusters: false
            typed_per_filter_config:
              state: {"@type": %s, on_request_headers: [{object_key: table, factory_key: envoy.string, format_string: {text_format: table}}, {object_key: level, factory_key: envoy.string, format_string: {text_format: table}}]}
              levels: {"@type": %s, mutations: {request_mutations: [{append: {header: {key: x-level, value: table}}}]}}
%s
            virtual_hosts:
%s
  clusters:
%s`, runtimeLayers, host, port, indent(up.manager, "          "), p.log.file, indent(up.loggers, "          "), indent(filters(), "          "), httpFilters+"set_filter_state.v3.Config", httpFilters+"header_mutation.v3.HeaderMutationPerRoute", indent(up.table, "            "), indent(hosts.String(), "            "), clusters(up))
}

func clusters(up upstreams) string {
	var out strings.Builder
	for _, c := range []struct{ name, port string }{{"v1", up.v1.port}, {"v2", up.v2.port}, {"none", "1"}, {"empty", ""}, {"services", up.services.port}, {"brief", up.v1.port}, {"few", up.v1.port}, {"brief2", up.v1.port}, {"few2", up.v1.port}, {"pp1", up.proxied}, {"pp2", up.proxied}} {
		fmt.Fprintf(&out, "  - name: %s\n    type: STATIC\n    connect_timeout: 1s\n", c.name)
		if c.name == "services" {
			out.WriteString(indent(speakHTTP2, "    ") + "\n")
		}
		if options := boundedClusters[c.name]; options != "" {
			out.WriteString(indent(options, "    ") + "\n")
		}
		if version, found := strings.CutPrefix(c.name, "pp"); found {
			fmt.Fprintf(&out, "    transport_socket:\n      name: pp\n      typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {version: V%s}, transport_socket: {name: raw, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}\n", version)
		}
		fmt.Fprintf(&out, "    load_assignment:\n      cluster_name: %s\n", c.name)
		if c.port != "" {
			fmt.Fprintf(&out, "      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]\n", c.port)
		}
	}
	out.WriteString(indent(subsetClusters(up)+againClusters(up), "  ") + "\n")
	return out.String()
}

func indent(text, by string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	return by + strings.Join(lines, "\n"+by)
}
