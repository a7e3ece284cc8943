package compile

import (
	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/state/credential"
)

// Fields says what is understood of Envoy's configuration, message by message.
// A field that is set and not here is refused by name; one that is "ignored"
// has a reason.
var Fields = fieldcheck.NewChecker(allFields)

var allFields = fieldcheck.Merge(coreFields, listenerFields, connectionFields, routeFields, clusterFields, extensionFields, policyFields, limitFields, smallFields, contentFields, tlsFields())

// tlsFields leaves out of the TLS messages those that others share.
func tlsFields() fieldcheck.Table {
	t := fieldcheck.Table{}
	for name, f := range credential.Fields {
		switch name {
		case "envoy.config.core.v3.DataSource", "envoy.type.matcher.v3.StringMatcher", "envoy.type.matcher.v3.RegexMatcher":
		default:
			t[name] = f
		}
	}
	return t
}

var coreFields = fieldcheck.Table{
	"envoy.config.core.v3.Address": {Read: "socket_address pipe"},
	"envoy.config.core.v3.Pipe":    {Read: "*"},
	"envoy.config.core.v3.SocketAddress": {
		Read:    "protocol address port_value ipv4_compat",
		Ignored: map[string]string{"resolver_name": "there is one resolver"},
	},
	"envoy.config.core.v3.CidrRange":       {Read: "address_prefix prefix_len"},
	"envoy.config.core.v3.DataSource":      {Read: "filename inline_bytes inline_string"},
	"envoy.config.core.v3.Metadata":        {Read: "filter_metadata", Ignored: map[string]string{"typed_filter_metadata": "only an endpoint's values for PROXY headers are read"}},
	"envoy.config.core.v3.TransportSocket": {Read: "name typed_config"},
	"envoy.config.core.v3.HeaderValue":     {Read: "key value"},
	"envoy.config.core.v3.HeaderValueOption": {
		Read: "header append append_action keep_empty_value",
	},
	"envoy.config.core.v3.RuntimeFractionalPercent": {Read: "default_value runtime_key"},
	"envoy.config.core.v3.RuntimeUInt32":            {Read: "default_value runtime_key"},
	"envoy.type.v3.FractionalPercent":               {Read: "*"},
	"envoy.type.v3.Percent":                         {Read: "*"},
	"envoy.type.v3.Int64Range":                      {Read: "*"},
	"envoy.config.core.v3.TypedExtensionConfig":     {Read: "name typed_config"},
	"envoy.config.core.v3.ExtensionConfigSource":    {Read: "config_source default_config apply_default_config_without_warming type_urls"},
	"envoy.type.matcher.v3.StringMatcher":           {Read: "exact prefix suffix contains safe_regex ignore_case"},
	"envoy.type.matcher.v3.RegexMatcher":            {Read: "regex", Ignored: map[string]string{"google_re2": "the syntax is RE2's"}},
	"envoy.type.matcher.v3.RegexMatchAndSubstitute": {
		Read: "pattern substitution",
	},
	"envoy.config.core.v3.SubstitutionFormatString": {
		Read:    "text_format text_format_source json_format omit_empty_values formatters content_type",
		Ignored: map[string]string{"json_format_options": "keys are in order"},
	},
	"envoy.config.core.v3.TcpKeepalive": {Read: "*"},
}

var listenerFields = fieldcheck.Table{
	"envoy.config.listener.v3.Listener": {
		Read: "name address additional_addresses filter_chains default_filter_chain use_original_dst listener_filters listener_filters_timeout continue_on_listener_filters_timeout traffic_direction transparent access_log bind_to_port deprecated_v1 metadata ignore_global_conn_limit bypass_overload_manager",
		Ignored: map[string]string{
			"per_connection_buffer_limit_bytes":          "bodies are pulled, not buffered",
			"connection_balance_config":                  "accepted connections are spread by the scheduler",
			"max_connections_to_accept_per_socket_event": "connections are accepted one by one",
			"enable_reuse_port":                          "one socket accepts for all processors",
			"reuse_port":                                 "one socket accepts for all processors",
			"stat_prefix":                                "statistics are by address",
			"tcp_backlog_size":                           "the system's is used",
			"drain_type":                                 "draining is one thing",
			"freebind":                                   "addresses are local",
			"tcp_fast_open_queue_length":                 "a speed-up only",
		},
	},
	"envoy.config.listener.v3.AdditionalAddress":     {Read: "address"},
	"envoy.config.listener.v3.Listener.DeprecatedV1": {Read: "bind_to_port"},
	"envoy.config.listener.v3.FilterChain": {
		Read: "filter_chain_match filters transport_socket transport_socket_connect_timeout name metadata",
	},
	"envoy.config.listener.v3.FilterChainMatch": {
		Read: "destination_port prefix_ranges server_names transport_protocol application_protocols source_prefix_ranges direct_source_prefix_ranges source_ports source_type",
	},
	"envoy.config.listener.v3.Filter":         {Read: "name typed_config"},
	"envoy.config.listener.v3.ListenerFilter": {Read: "name typed_config filter_disabled"},
	"envoy.config.listener.v3.ListenerFilterChainMatchPredicate": {
		Read: "or_match and_match not_match any_match destination_port_range",
	},
	"envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet": {Read: "rules"},
	"envoy.type.v3.Int32Range":                                        {Read: "*"},
	"envoy.extensions.filters.listener.original_dst.v3.OriginalDst":   {},
	"envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": {Read: "enable_ja3_fingerprinting enable_ja4_fingerprinting", Ignored: map[string]string{"initial_read_buffer_size": "the whole hello is read anyway", "close_connection_on_client_hello_parsing_errors": "such a connection ends at the handshake"}},
	"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol": {
		Read:    "rules allow_requests_without_proxy_protocol pass_through_tlvs disallowed_versions tlv_location",
		Ignored: map[string]string{"stat_prefix": "only a name in statistics"},
	},
	"envoy.extensions.filters.listener.http_inspector.v3.HttpInspector":                   {},
	"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer":                          {},
	"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": {Read: "config transport_socket"},
	"envoy.config.core.v3.ProxyProtocolConfig":                                            {Read: "version pass_through_tlvs added_tlvs"},
	"envoy.config.core.v3.ProxyProtocolPassThroughTLVs":                                   {Read: "*"},
	"envoy.config.core.v3.TlvEntry":                                                       {Read: "type value"},
	"envoy.config.core.v3.PerHostConfig":                                                  {Read: "added_tlvs"},
	"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.Rule":              {Read: "*"},
	"envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.KeyValuePair":      {Read: "*"},
	"envoy.extensions.filters.network.sni_cluster.v3.SniCluster":                          {},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": {
		Read: "stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts max_downstream_connection_duration hash_policy tunneling_config",
		Ignored: map[string]string{
			"downstream_idle_timeout": "Envoy reads it no more than this: idle_timeout is for both sides",
			"upstream_idle_timeout":   "Envoy reads it no more than this: idle_timeout is for both sides",
		},
	},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig": {
		Read: "hostname use_post headers_to_add propagate_response_headers post_path propagate_response_trailers request_id_extension request_id_header request_id_metadata_key formatters",
	},
	"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension":       {Read: "typed_config"},
	"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig":                              {Ignored: map[string]string{"pack_trace_reason": "an ID tells nothing of traces", "use_request_id_for_trace_sampling": "tunnels are not traced"}},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster":               {Read: "clusters"},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": {Read: "name weight"},
	"envoy.type.v3.HashPolicy": {Read: "*"},
}
