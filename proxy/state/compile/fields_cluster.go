package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

var clusterFields = fieldcheck.Table{
	"envoy.config.cluster.v3.Cluster": {
		Read: "name type alt_stat_name eds_cluster_config connect_timeout lb_policy load_assignment circuit_breakers outlier_detection " +
			"typed_extension_protocol_options http_protocol_options http2_protocol_options common_http_protocol_options protocol_selection upstream_bind_config common_lb_config transport_socket transport_socket_matches metadata " +
			"upstream_connection_options filters least_request_lb_config round_robin_lb_config ring_hash_lb_config maglev_lb_config original_dst_lb_config " +
			"dns_refresh_rate max_requests_per_connection health_checks load_balancing_policy lb_subset_config ignore_health_on_host_removal wait_for_warm_on_init close_connections_on_host_health_failure " +
			"dns_jitter dns_failure_refresh_rate respect_dns_ttl dns_lookup_family typed_dns_resolver_config dns_resolution_config dns_resolvers use_tcp_for_dns_lookups",
		Ignored: map[string]string{
			"cleanup_interval":                  "an original destination is kept as long as its connections",
			"per_connection_buffer_limit_bytes": "bodies are pulled, not buffered",
			"track_timeout_budgets":             "only a histogram",
			"track_cluster_stats":               "only a histogram",
		},
	},
	"envoy.config.cluster.v3.Cluster.RefreshRate":                                       {Read: "base_interval max_interval"},
	"envoy.config.core.v3.DnsResolutionConfig":                                          {Read: "resolvers dns_resolver_options"},
	"envoy.config.core.v3.DnsResolverOptions":                                           {Read: "use_tcp_for_dns_lookups no_default_search_domain"},
	"envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig": {Ignored: map[string]string{"num_retries": "the system's resolver asks again by itself", "num_resolver_threads": "there are no threads to count"}},
	"envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": {
		Read: "resolvers dns_resolver_options",
		Ignored: map[string]string{
			"udp_max_queries": "each question has a socket of its own", "max_udp_channel_duration": "each question has a socket of its own", "reinit_channel_on_timeout": "each question has a socket of its own",
			"edns0_max_payload_size": "1,232 bytes are offered", "qcache_max_ttl": "no answer is kept beyond its refresh",
		},
	},
	"envoy.config.cluster.v3.Cluster.EdsClusterConfig": {Read: "eds_config service_name"},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig": {
		Read: "healthy_panic_threshold locality_weighted_lb_config zone_aware_lb_config consistent_hashing_lb_config override_host_status ignore_new_hosts_until_first_hc close_connections_on_host_set_change",
		Ignored: map[string]string{
			"update_merge_window": "an endpoint change costs one picker",
		},
	},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig":  {},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig": {Read: "use_hostname_for_hashing hash_balance_factor"},
	"envoy.config.cluster.v3.Cluster.LbSubsetConfig":                           {Read: "fallback_policy default_subset subset_selectors"},
	"envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector":          {Read: "keys fallback_policy fallback_keys_subset"},
	"envoy.config.core.v3.HealthStatusSet":                                     {Read: "statuses"},
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig":         {Read: "*"},
	"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": {
		Read: "choice_count slow_start_config active_request_bias",
	},
	"envoy.config.cluster.v3.Cluster.RoundRobinLbConfig": {Read: "slow_start_config"},
	"envoy.config.cluster.v3.Cluster.SlowStartConfig":    {Read: "slow_start_window aggression min_weight_percent"},
	"envoy.config.core.v3.RuntimeDouble":                 {Read: "*"},
	"envoy.config.core.v3.HealthCheck": {
		Read: "timeout interval interval_jitter unhealthy_threshold healthy_threshold http_health_check tcp_health_check grpc_health_check no_traffic_interval unhealthy_interval " +
			"initial_jitter interval_jitter_percent reuse_connection no_traffic_healthy_interval unhealthy_edge_interval healthy_edge_interval transport_socket_match_criteria",
		Ignored: map[string]string{
			"name":                             "only a name in statistics",
			"always_log_health_check_failures": "changes are logged",
			"always_log_health_check_success":  "changes are logged",
		},
	},
	"envoy.config.core.v3.HealthCheck.HttpHealthCheck":    {Read: "host path request_headers_to_add expected_statuses retriable_statuses codec_client_type method service_name_matcher"},
	"envoy.config.core.v3.HealthCheck.TcpHealthCheck":     {Read: "send receive"},
	"envoy.config.core.v3.HealthCheck.GrpcHealthCheck":    {Read: "service_name authority"},
	"envoy.config.core.v3.HealthCheck.Payload":            {Read: "text binary"},
	"envoy.config.cluster.v3.Cluster.RingHashLbConfig":    {Read: "minimum_ring_size maximum_ring_size hash_function"},
	"envoy.config.cluster.v3.Cluster.MaglevLbConfig":      {Read: "table_size"},
	"envoy.config.cluster.v3.Cluster.OriginalDstLbConfig": {Read: "upstream_port_override"},
	"envoy.config.cluster.v3.Cluster.TransportSocketMatch": {
		Read: "name match transport_socket",
	},
	"envoy.config.cluster.v3.LoadBalancingPolicy":                                  {Read: "policies"},
	"envoy.config.cluster.v3.LoadBalancingPolicy.Policy":                           {Read: "typed_extension_config"},
	"envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin":           {Read: "slow_start_config locality_lb_config"},
	"envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest":       {Read: "choice_count slow_start_config locality_lb_config active_request_bias enable_full_scan selection_method"},
	"envoy.extensions.load_balancing_policies.random.v3.Random":                    {Read: "locality_lb_config"},
	"envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash":               {Read: "minimum_ring_size maximum_ring_size hash_function use_hostname_for_hashing hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config"},
	"envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig": {Read: "use_hostname_for_hashing hash_balance_factor"},
	"envoy.extensions.load_balancing_policies.maglev.v3.Maglev":                    {Read: "table_size locality_weighted_lb_config consistent_hashing_lb_config"},
	"envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality":         {Read: "endpoint_picking_policy"},
	"envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": {},
	"envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig":           {Read: "slow_start_window aggression min_weight_percent"},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig": {
		Read: "locality_weighted_lb_config zone_aware_lb_config",
	},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig": {},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig": {
		Read: "routing_enabled min_cluster_size fail_traffic_on_panic force_locality_direct_routing force_local_zone locality_basis",
	},
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.ForceLocalZone": {Read: "min_size"},
	"envoy.config.cluster.v3.CircuitBreakers":                                                              {Read: "thresholds per_host_thresholds"},
	"envoy.config.cluster.v3.CircuitBreakers.Thresholds": {
		Read: "priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining",
		Ignored: map[string]string{
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
		Read:    "source_address extra_source_addresses additional_source_addresses",
		Ignored: map[string]string{"freebind": "addresses are local", "socket_options": "the address is enough"},
	},
	"envoy.config.core.v3.ExtraSourceAddress": {
		Read:    "address",
		Ignored: map[string]string{"socket_options": "the address is enough"},
	},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		Read: "common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config auto_config http_filters",
	},
	"envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec":                  {},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig":      {Read: "http_protocol_options http2_protocol_options"},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig": {Read: "http_protocol_options http2_protocol_options"},
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig":          {Read: "http_protocol_options http2_protocol_options"},
	"envoy.config.core.v3.UpstreamHttpProtocolOptions":                               {Read: "auto_sni auto_san_validation"},
	"envoy.config.core.v3.HttpProtocolOptions": {
		Read: "idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action max_requests_per_connection",
	},
	"envoy.config.core.v3.Http1ProtocolOptions": {
		Read: "accept_http_10 default_host_for_http_10 send_fully_qualified_url",
		Ignored: map[string]string{
			"allow_absolute_url":                            "absolute URLs are understood",
			"header_key_format":                             "names keep the case in which they came: a formatter that preserves it asks for what is done, and without one Envoy writes lower case",
			"enable_trailers":                               "trailers are passed on",
			"use_balsa_parser":                              "the parser is our own",
			"allow_custom_methods":                          "methods are tokens",
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
		Read: "overprovisioning_factor weighted_priority_health",
	},
	"envoy.config.endpoint.v3.LocalityLbEndpoints": {
		Read:    "locality lb_endpoints load_balancing_weight priority",
		Ignored: map[string]string{"metadata": "nobody reads it", "proximity": "nobody reads it"},
	},
	"envoy.config.core.v3.Locality":                       {Read: "*"},
	"envoy.config.endpoint.v3.LbEndpoint":                 {Read: "endpoint health_status metadata load_balancing_weight"},
	"envoy.config.endpoint.v3.Endpoint":                   {Read: "address hostname health_check_config"},
	"envoy.config.endpoint.v3.Endpoint.HealthCheckConfig": {Read: "port_value hostname address disable_active_health_check"},
}
