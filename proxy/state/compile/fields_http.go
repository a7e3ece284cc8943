package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

const httpManager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

const scopedRoutes = "envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes"

// connectionFields are the HTTP connection manager's.
var connectionFields = fieldcheck.Table{
	httpManager: {
		Read: "codec_type stat_prefix rds route_config scoped_routes http_filters access_log use_remote_address xff_num_trusted_hops skip_xff_append via normalize_path merge_slashes " +
			"path_with_escaped_slashes_action stream_idle_timeout common_http_protocol_options request_headers_timeout http_protocol_options http2_protocol_options server_name server_header_transformation " +
			"generate_request_id preserve_external_request_id always_set_request_id_in_response forward_client_cert_details set_current_client_cert_details proxy_100_continue " +
			"upgrade_configs max_request_headers_kb append_x_forwarded_port tracing request_timeout internal_address_config strip_trailing_host_dot strip_any_host_port strip_matching_host_port scheme_header_transformation add_user_agent local_reply_config original_ip_detection_extensions",
		Ignored: map[string]string{
			"drain_timeout":                        "connections end with their request when draining",
			"delayed_close_timeout":                "a connection is closed when its last byte is out",
			"request_id_extension":                 "ids are UUIDs",
			"stream_error_on_invalid_http_message": "a malformed message ends the connection",
			"access_log_options":                   "a line is written when the request ends",
			"flush_access_log_on_new_request":      "a line is written when the request ends",
		},
	},
	"envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig": {Read: "header_name allow_extension_to_set_address_as_trusted reject_with_status"},
	"envoy.extensions.http.original_ip_detection.xff.v3.XffConfig":                    {Read: "xff_num_trusted_hops xff_trusted_cidrs skip_xff_append"},
	"envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs":              {Read: "cidrs"},
	"envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig":    {Read: "mappers body_format"},
	"envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper":      {Read: "filter status_code body body_format_override headers_to_add"},
	"envoy.extensions.filters.network.http_connection_manager.v3.Rds":                 {Read: "config_source route_config_name"},
	scopedRoutes:                                      {Read: "name scope_key_builder rds_config_source scoped_route_configurations_list scoped_rds"},
	scopedRoutes + ".ScopeKeyBuilder":                 {Read: "fragments"},
	scopedRoutes + ".ScopeKeyBuilder.FragmentBuilder": {Read: "header_value_extractor"},
	scopedRoutes + ".ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor":                      {Read: "name element_separator index element"},
	scopedRoutes + ".ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement":            {Read: "separator key"},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRds":                     {Read: "scoped_rds_config_source"},
	"envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList": {Read: "scoped_route_configurations"},
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter":                    {Read: "name typed_config config_discovery is_optional disabled"},
	httpManager + ".SetCurrentClientCertDetails":                                                {Read: "subject uri dns cert chain"},
	"envoy.config.core.v3.SchemeHeaderTransformation":                                           {Read: "scheme_to_overwrite match_upstream"},
	httpManager + ".UpgradeConfig":                                                              {Read: "upgrade_type enabled"},
	httpManager + ".InternalAddressConfig":                                                      {Read: "*"},
	httpManager + ".Tracing": {
		Read:    "client_sampling random_sampling overall_sampling max_path_tag_length custom_tags provider no_context_propagation spawn_upstream_span",
		Ignored: map[string]string{"verbose": "annotations are not reported", "operation": "the route's decorator names the span", "upstream_operation": "the span is named for the cluster"},
	},
	"envoy.config.trace.v3.Tracing.Http": {Read: "name typed_config"},
	"envoy.config.trace.v3.ZipkinConfig": {
		Read:    "collector_cluster collector_endpoint trace_id_128bit shared_span_context collector_endpoint_version collector_hostname trace_context_option",
		Ignored: map[string]string{"split_spans_for_request": "inbound and outbound listeners have spans of their own"},
	},
	"envoy.config.trace.v3.OpenTelemetryConfig": {
		Read:    "grpc_service http_service service_name sampler",
		Ignored: map[string]string{"resource_detectors": "the service's name is told", "max_cache_size": "5,000 spans may wait"},
	},
	"envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig":          {},
	"envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig": {Read: "sampling_percentage"},
	"envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig":       {Read: "wrapped_sampler"},
	"envoy.config.core.v3.HttpService":                                                  {Read: "http_uri request_headers_to_add"},
	"envoy.type.tracing.v3.CustomTag":                                                   {Read: "tag literal request_header environment metadata value"},
	"envoy.type.tracing.v3.CustomTag.Literal":                                           {Read: "value"},
	"envoy.type.tracing.v3.CustomTag.Header":                                            {Read: "name default_value"},
	"envoy.type.tracing.v3.CustomTag.Environment":                                       {Read: "name default_value"},
	"envoy.type.tracing.v3.CustomTag.Metadata":                                          {Read: "kind metadata_key default_value"},
	"envoy.type.metadata.v3.MetadataKind":                                               {Read: "request"},
	"envoy.type.metadata.v3.MetadataKind.Request":                                       {},
}

// extensionFields are those of HTTP filters, access loggers and their like.
var extensionFields = fieldcheck.Table{
	"envoy.extensions.filters.http.router.v3.Router": {
		Read:    "suppress_envoy_headers respect_expected_rq_timeout start_child_span",
		Ignored: map[string]string{"dynamic_stats": "statistics are always kept"},
	},
	"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": {Ignored: map[string]string{
		"emit_filter_state": "Istio's metrics have the counts of messages", "stats_for_all_methods": "only Istio's metrics have the counts of messages",
		"individual_method_stats_allowlist": "only Istio's metrics have the counts of messages", "enable_upstream_stats": "only Istio's metrics have the counts of messages",
		"replace_dots_in_grpc_service_name": "only Istio's metrics have the counts of messages",
	}},
	"envoy.config.route.v3.FilterConfig":         {Read: "config is_optional disabled"},
	"envoy.extensions.filters.http.cors.v3.Cors": {},
	"envoy.extensions.filters.http.cors.v3.CorsPolicy": {
		Read:    "allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials allow_private_network_access filter_enabled forward_not_matching_preflights",
		Ignored: map[string]string{"shadow_enabled": "only statistics"},
	},
	"envoy.extensions.filters.http.fault.v3.HTTPFault":                       {Read: "delay abort headers upstream_cluster", Ignored: map[string]string{"disable_downstream_cluster_stats": "only statistics"}},
	"envoy.extensions.filters.common.fault.v3.FaultDelay":                    {Read: "fixed_delay header_delay percentage"},
	"envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay":        {},
	"envoy.extensions.filters.http.fault.v3.FaultAbort":                      {Read: "http_status grpc_status header_abort percentage"},
	"envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort":          {},
	"io.istio.http.peer_metadata.Config":                                     {Read: "downstream_discovery upstream_discovery downstream_propagation upstream_propagation", Ignored: map[string]string{"shared_with_upstream": "there is no internal listener", "additional_labels": "the standard labels are told"}},
	"io.istio.http.peer_metadata.Config.DiscoveryMethod":                     {Read: "istio_headers", Ignored: map[string]string{"workload_discovery": "the endpoint's metadata says who it is"}},
	"io.istio.http.peer_metadata.Config.PropagationMethod":                   {Read: "istio_headers"},
	"io.istio.http.peer_metadata.Config.IstioHeaders":                        {Read: "skip_external_clusters"},
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig":              {Read: "alpn_override"},
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig.AlpnOverride": {Read: "upstream_protocol alpn_override"},
	"stats.PluginConfig": {
		Read:    "disable_host_header_fallback tcp_reporting_duration reporter metrics",
		Ignored: map[string]string{"rotation_interval": "unused series are kept", "graceful_deletion_interval": "unused series are kept"},
	},
	"stats.MetricConfig": {Read: "name dimensions tags_to_remove drop"},
	"envoy.tcp.metadataexchange.config.MetadataExchange":              {Read: "protocol", Ignored: map[string]string{"enable_discovery": "the endpoint's metadata says who it is", "additional_labels": "the standard labels are told"}},
	"envoy.config.accesslog.v3.AccessLog":                             {Read: "name filter typed_config"},
	"envoy.config.accesslog.v3.AccessLogFilter":                       {Read: "status_code_filter duration_filter not_health_check_filter and_filter or_filter response_flag_filter header_filter traceable_filter runtime_filter grpc_status_filter metadata_filter extension_filter"},
	"envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig": {Read: "common_config additional_request_headers_to_log additional_response_headers_to_log additional_response_trailers_to_log"},
	"envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig":  {Read: "common_config"},
	"envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig": {
		Read:    "log_name grpc_service transport_api_version buffer_flush_interval buffer_size_bytes filter_state_objects_to_log custom_tags",
		Ignored: map[string]string{"grpc_stream_retry_policy": "a batch that fails is lost, the next one is a call of its own"},
	},
	"envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig": {
		Read:    "common_config http_service grpc_service disable_builtin_labels resource_attributes body attributes formatters log_name buffer_flush_interval buffer_size_bytes custom_tags",
		Ignored: map[string]string{"stat_prefix": "only statistics", "filter_state_objects_to_log": "records have what body and attributes name", "resource_detectors": "resource_attributes are told"},
	},
	"opentelemetry.proto.common.v1.AnyValue":                          {Read: "*"},
	"opentelemetry.proto.common.v1.ArrayValue":                        {Read: "values"},
	"opentelemetry.proto.common.v1.KeyValue":                          {Read: "key value"},
	"opentelemetry.proto.common.v1.KeyValueList":                      {Read: "values"},
	"envoy.config.accesslog.v3.TraceableFilter":                       {},
	"envoy.config.accesslog.v3.RuntimeFilter":                         {Read: "percent_sampled runtime_key", Ignored: map[string]string{"use_independent_randomness": "draws are independent"}},
	"envoy.config.accesslog.v3.GrpcStatusFilter":                      {Read: "statuses exclude"},
	"envoy.config.accesslog.v3.MetadataFilter":                        {Read: "matcher match_if_key_not_found"},
	"envoy.config.accesslog.v3.ExtensionFilter":                       {Read: "name typed_config"},
	"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": {Read: "expression"},
	"envoy.config.accesslog.v3.NotHealthCheckFilter":                  {},
	"envoy.config.accesslog.v3.StatusCodeFilter":                      {Read: "comparison"},
	"envoy.config.accesslog.v3.DurationFilter":                        {Read: "comparison"},
	"envoy.config.accesslog.v3.ComparisonFilter":                      {Read: "op value"},
	"envoy.config.accesslog.v3.AndFilter":                             {Read: "filters"},
	"envoy.config.accesslog.v3.OrFilter":                              {Read: "filters"},
	"envoy.config.accesslog.v3.HeaderFilter":                          {Read: "header"},
	"envoy.config.accesslog.v3.ResponseFlagFilter":                    {Read: "flags"},
	"envoy.extensions.access_loggers.file.v3.FileAccessLog":           {Read: "path format json_format log_format"},
	"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":       {Read: "log_format"},
	"envoy.extensions.access_loggers.stream.v3.StderrAccessLog":       {Read: "log_format"},
}
