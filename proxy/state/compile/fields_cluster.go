package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

var clusterFields = fieldcheck.Table{
	"envoy.config.cluster.v3.Cluster": {
		Read: "name type alt_stat_name eds_cluster_config connect_timeout lb_policy load_assignment circuit_breakers outlier_detection " +
			"typed_extension_protocol_options http2_protocol_options upstream_bind_config common_lb_config transport_socket transport_socket_matches metadata " +
			"upstream_connection_options filters least_request_lb_config round_robin_lb_config ring_hash_lb_config maglev_lb_config original_dst_lb_config " +
			"dns_refresh_rate max_requests_per_connection health_checks load_balancing_policy lb_subset_config",
		Ignored: map[string]string{
			"cleanup_interval":                         "an original destination is kept as long as its connections",
			"dns_jitter":                               "names are resolved at their own pace",
			"dns_failure_refresh_rate":                 "a failed name is tried again at the usual pace",
			"respect_dns_ttl":                          "the refresh rate bounds what a record may live",
			"dns_lookup_family":                        "the resolver gives what the network can reach",
			"typed_dns_resolver_config":                "the resolver is injected",
			"dns_resolution_config":                    "the resolver is injected",
			"dns_resolvers":                            "the resolver is injected",
			"use_tcp_for_dns_lookups":                  "the resolver is injected",
			"per_connection_buffer_limit_bytes":        "bodies are pulled, not buffered",
			"http_protocol_options":                    "HTTP/1.1 is spoken strictly",
			"common_http_protocol_options":             "the typed options are read",
			"protocol_selection":                       "follows the typed options",
			"track_timeout_budgets":                    "only a histogram",
			"track_cluster_stats":                      "only a histogram",
			"wait_for_warm_on_init":                    "nothing is warmed by health checks",
			"ignore_health_on_host_removal":            "a removed endpoint gets no new request",
			"close_connections_on_host_health_failure": "connections end with their requests",
		},
	},
	"envoy.config.cluster.v3.Cluster.EdsClusterConfig": {Read: "eds_config service_name"},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig": {
		Read: "healthy_panic_threshold locality_weighted_lb_config override_host_status",
		Ignored: map[string]string{
			"update_merge_window":                  "an endpoint change costs one picker",
			"zone_aware_lb_config":                 "needs a local cluster; without one it does nothing in Envoy either",
			"ignore_new_hosts_until_first_hc":      "a new endpoint counts as not healthy until it has answered",
			"close_connections_on_host_set_change": "connections end with their requests",
		},
	},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig": {},
	"envoy.config.cluster.v3.Cluster.LbSubsetConfig":                          {Read: "fallback_policy default_subset subset_selectors"},
	"envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector":         {Read: "keys fallback_policy fallback_keys_subset"},
	"envoy.config.core.v3.HealthStatusSet":                                    {Read: "statuses"},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig":        {Read: "*"},
	"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": {
		Read:    "choice_count slow_start_config",
		Ignored: map[string]string{"active_request_bias": "the default's effect is kept"},
	},
	"envoy.config.cluster.v3.Cluster.RoundRobinLbConfig": {Read: "slow_start_config"},
	"envoy.config.cluster.v3.Cluster.SlowStartConfig":    {Read: "slow_start_window aggression min_weight_percent"},
	"envoy.config.core.v3.RuntimeDouble":                 {Read: "default_value", Ignored: map[string]string{"runtime_key": "the default value holds: a cluster changes with its configuration"}},
	"envoy.config.core.v3.HealthCheck": {
		Read: "timeout interval interval_jitter unhealthy_threshold healthy_threshold http_health_check tcp_health_check grpc_health_check no_traffic_interval unhealthy_interval",
		Ignored: map[string]string{
			"initial_jitter":                   "an endpoint is asked at once",
			"interval_jitter_percent":          "interval_jitter spreads the probes",
			"reuse_connection":                 "each probe has a connection of its own",
			"no_traffic_healthy_interval":      "no_traffic_interval holds",
			"unhealthy_edge_interval":          "unhealthy_interval holds",
			"healthy_edge_interval":            "interval holds",
			"always_log_health_check_failures": "changes are logged",
			"always_log_health_check_success":  "changes are logged",
		},
	},
	"envoy.config.core.v3.HealthCheck.HttpHealthCheck":    {Read: "host path request_headers_to_add expected_statuses retriable_statuses codec_client_type method"},
	"envoy.config.core.v3.HealthCheck.TcpHealthCheck":     {Read: "send receive"},
	"envoy.config.core.v3.HealthCheck.GrpcHealthCheck":    {Read: "service_name authority"},
	"envoy.config.core.v3.HealthCheck.Payload":            {Read: "text binary"},
	"envoy.config.cluster.v3.Cluster.RingHashLbConfig":    {Read: "minimum_ring_size maximum_ring_size", Ignored: map[string]string{"hash_function": "xxHash spreads as well"}},
	"envoy.config.cluster.v3.Cluster.MaglevLbConfig":      {Read: "table_size"},
	"envoy.config.cluster.v3.Cluster.OriginalDstLbConfig": {Read: "upstream_port_override"},
	"envoy.config.cluster.v3.Cluster.TransportSocketMatch": {
		Read: "name match transport_socket",
	},
	"envoy.config.cluster.v3.LoadBalancingPolicy":                        {Read: "policies"},
	"envoy.config.cluster.v3.LoadBalancingPolicy.Policy":                 {Read: "typed_extension_config"},
	"envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": {Read: "slow_start_config locality_lb_config"},
	"envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": {
		Read:    "choice_count slow_start_config locality_lb_config",
		Ignored: map[string]string{"active_request_bias": "the default's effect is kept", "enable_full_scan": "choice_count endpoints are compared", "selection_method": "choice_count endpoints are compared"},
	},
	"envoy.extensions.load_balancing_policies.random.v3.Random":                    {Read: "locality_lb_config"},
	"envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash":               {Read: "minimum_ring_size maximum_ring_size locality_weighted_lb_config", Ignored: map[string]string{"hash_function": "xxHash spreads as well"}},
	"envoy.extensions.load_balancing_policies.maglev.v3.Maglev":                    {Read: "table_size locality_weighted_lb_config"},
	"envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality":         {Read: "endpoint_picking_policy"},
	"envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": {},
	"envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig":           {Read: "slow_start_window aggression min_weight_percent"},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig": {
		Read:    "locality_weighted_lb_config",
		Ignored: map[string]string{"zone_aware_lb_config": "needs a local cluster; without one it does nothing in Envoy either"},
	},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig": {},
	"envoy.config.cluster.v3.CircuitBreakers":                                                      {Read: "thresholds", Ignored: map[string]string{"per_host_thresholds": "the cluster's limits hold"}},
	"envoy.config.cluster.v3.CircuitBreakers.Thresholds": {
		Read: "priority max_connections max_pending_requests max_requests max_retries retry_budget",
		Ignored: map[string]string{
			"track_remaining":      "only a gauge",
			"max_connection_pools": "a pool costs nothing when idle",
		},
	},
	"envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": {Read: "budget_percent min_retry_concurrency"},
	"envoy.config.cluster.v3.Filter":                                 {Read: "name typed_config"},
	"envoy.config.cluster.v3.OutlierDetection": {
		Read: "consecutive_5xx consecutive_gateway_failure consecutive_local_origin_failure enforcing_consecutive_5xx enforcing_consecutive_gateway_failure " +
			"enforcing_consecutive_local_origin_failure interval base_ejection_time max_ejection_time max_ejection_time_jitter max_ejection_percent always_eject_one_host split_external_local_origin_errors " +
			"enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor enforcing_local_origin_success_rate " +
			"enforcing_failure_percentage enforcing_failure_percentage_local_origin failure_percentage_threshold failure_percentage_minimum_hosts failure_percentage_request_volume " +
			"successful_active_health_check_uneject_host",
	},
	"envoy.config.cluster.v3.UpstreamConnectionOptions": {
		Read:    "tcp_keepalive",
		Ignored: map[string]string{"set_local_interface_name_on_upstream_connections": "only for logs", "happy_eyeballs_config": "addresses are tried in turn"},
	},
	"envoy.config.core.v3.BindConfig": {
		Read:    "source_address",
		Ignored: map[string]string{"freebind": "addresses are local", "socket_options": "the address is enough", "extra_source_addresses": "the first that fits is used", "additional_source_addresses": "the first that fits is used"},
	},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		Read: "common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config auto_config",
	},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig":      {Read: "http_protocol_options http2_protocol_options"},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig": {Read: "http_protocol_options http2_protocol_options"},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig":          {Read: "http_protocol_options http2_protocol_options"},
	"envoy.config.core.v3.UpstreamHttpProtocolOptions":                               {Read: "auto_sni auto_san_validation"},
	"envoy.config.core.v3.HttpProtocolOptions": {
		Read: "idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action max_requests_per_connection",
	},
	"envoy.config.core.v3.Http1ProtocolOptions": {
		Read: "accept_http_10 default_host_for_http_10",
		Ignored: map[string]string{
			"allow_absolute_url":                            "absolute URLs are understood",
			"header_key_format":                             "names keep the case in which they came",
			"enable_trailers":                               "trailers are passed on",
			"use_balsa_parser":                              "the parser is our own",
			"allow_custom_methods":                          "methods are tokens",
			"send_fully_qualified_url":                      "checked where it matters",
			"override_stream_error_on_invalid_http_message": "a malformed message ends the connection",
		},
	},
	"envoy.config.core.v3.Http2ProtocolOptions": {
		Read: "max_concurrent_streams initial_stream_window_size initial_connection_window_size hpack_table_size connection_keepalive",
		Ignored: map[string]string{
			"allow_connect":               "extended CONNECT is allowed where upgrade_configs allow upgrades",
			"allow_metadata":              "METADATA frames are no part of HTTP/2",
			"max_outbound_frames":         "what waits to be sent is bounded by its bytes",
			"max_outbound_control_frames": "1,000 replies may wait to be read",
			"max_consecutive_inbound_frames_with_empty_payload":    "frames that carry nothing have a budget together",
			"max_inbound_priority_frames_per_stream":               "frames that carry nothing have a budget together",
			"max_inbound_window_update_frames_per_data_frame_sent": "frames that carry nothing have a budget together",
			"stream_error_on_invalid_http_messaging":               "a malformed message ends its stream only",
			"override_stream_error_on_invalid_http_message":        "a malformed message ends its stream only",
			"use_oghttp2_codec":                                    "the codec is our own",
			"max_metadata_size":                                    "METADATA frames are no part of HTTP/2",
			"enable_huffman_encoding":                              "strings are sent as they are",
		},
	},
	"envoy.config.core.v3.KeepaliveSettings": {
		Read: "interval timeout",
		Ignored: map[string]string{
			"interval_jitter":          "connections are looked at at times of their own",
			"connection_idle_interval": "a connection that was quiet is asked by the interval",
		},
	},

	"envoy.config.endpoint.v3.ClusterLoadAssignment": {Read: "cluster_name endpoints policy"},
	"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": {
		Ignored: map[string]string{"overprovisioning_factor": "140 % is used", "weighted_priority_health": "weights count by health alone"},
	},
	"envoy.config.endpoint.v3.LocalityLbEndpoints": {
		Read:    "locality lb_endpoints load_balancing_weight priority",
		Ignored: map[string]string{"metadata": "nobody reads it", "proximity": "nobody reads it"},
	},
	"envoy.config.core.v3.Locality":       {Read: "*"},
	"envoy.config.endpoint.v3.LbEndpoint": {Read: "endpoint health_status metadata load_balancing_weight"},
	"envoy.config.endpoint.v3.Endpoint":   {Read: "address hostname", Ignored: map[string]string{"health_check_config": "there are no active health checks"}},
}
