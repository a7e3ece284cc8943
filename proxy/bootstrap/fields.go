package bootstrap

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// fields says what of a bootstrap is understood. Static resources are checked
// where they are compiled, as dynamic ones are.
var fields = fieldcheck.NewChecker(fieldcheck.Table{
	"envoy.config.bootstrap.v3.Bootstrap": {
		Read: "node static_resources dynamic_resources admin overload_manager",
		Ignored: map[string]string{
			"application_log_config":           "the log's format is a flag",
			"cluster_manager":                  "only tunes Envoy's own memory and event log",
			"default_socket_interface":         "there is one",
			"deferred_stat_options":            "only tunes Envoy's own memory",
			"enable_dispatcher_stats":          "there is no dispatcher",
			"flags_path":                       "no flag file is read",
			"header_prefix":                    "the default is used",
			"layered_runtime":                  "runtime keys switch details of Envoy's own code; overload.global_downstream_max_connections is read",
			"memory_allocator_manager":         "memory is Go's",
			"node_context_params":              "only used by xdstp names",
			"stats_config":                     "metric names are fixed",
			"stats_flush_interval":             "metrics are read, not flushed",
			"stats_flush_on_admin":             "metrics are read, not flushed",
			"stats_server_version_override":    "tells the version's number",
			"use_tcp_for_dns_lookups":          "the resolver is injected",
			"typed_dns_resolver_config":        "the resolver is injected",
			"watchdogs":                        "there are no workers to watch",
			"watchdog":                         "there are no workers to watch",
			"perf_tracing_file_path":           "for Envoy's developers",
			"inline_headers":                   "headers are one flat list",
			"certificate_provider_instances":   "only used by proxyless gRPC",
			"grpc_async_client_manager_config": "one stream is kept",
			"xds_delegate_extension":           "the last configuration is kept in memory",
			"listener_manager":                 "there is one",
		},
	},
	"envoy.config.overload.v3.OverloadManager": {
		Read: "refresh_interval resource_monitors actions",
	},
	"envoy.config.overload.v3.OverloadAction":                                                  {Read: "name triggers"},
	"envoy.config.overload.v3.Trigger":                                                         {Read: "name threshold scaled"},
	"envoy.config.overload.v3.ThresholdTrigger":                                                {Read: "value"},
	"envoy.config.overload.v3.ScaledTrigger":                                                   {Read: "scaling_threshold saturation_threshold"},
	"envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig":                         {Read: "max_heap_size_bytes"},
	"envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig":                   {Read: "max_memory_bytes"},
	"envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig":               {Read: "mode"},
	"envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig": {Read: "max_active_downstream_connections"},
	"envoy.config.overload.v3.ResourceMonitor":                                                 {Read: "name typed_config"},
	"envoy.config.core.v3.Node":                                                                {Read: "*"},
	"envoy.config.bootstrap.v3.Bootstrap.StaticResources":                                      {Read: "listeners clusters secrets"},
	"envoy.config.listener.v3.Listener":                                                        {Read: "*"},
	"envoy.config.cluster.v3.Cluster":                                                          {Read: "*"},
	"envoy.extensions.transport_sockets.tls.v3.Secret":                                         {Read: "*"},
	"envoy.config.bootstrap.v3.Bootstrap.DynamicResources":                                     {Read: "lds_config cds_config ads_config"},
	"envoy.config.core.v3.ConfigSource": {
		Read:    "ads",
		Ignored: map[string]string{"resource_api_version": "only v3 exists", "initial_fetch_timeout": "the first answer is waited for"},
	},
	"envoy.config.core.v3.AggregatedConfigSource": {},
	"envoy.config.core.v3.ApiConfigSource": {
		Read: "api_type grpc_services",
		Ignored: map[string]string{
			"transport_api_version":          "only v3 exists",
			"set_node_on_first_message_only": "always so",
			"rate_limit_settings":            "requests follow answers, there is no flood to limit",
		},
	},
	"envoy.config.core.v3.GrpcService":           {Read: "envoy_grpc google_grpc", Ignored: map[string]string{"timeout": "a stream has none"}},
	"envoy.config.core.v3.GrpcService.EnvoyGrpc": {Read: "cluster_name authority"},
	"envoy.config.core.v3.GrpcService.GoogleGrpc": {
		Read:    "target_uri channel_credentials",
		Ignored: map[string]string{"stat_prefix": "there is one control plane"},
	},
	"envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelCredentials": {Read: "ssl_credentials"},
	"envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials":     {Read: "root_certs cert_chain private_key"},
	"envoy.config.core.v3.DataSource":                                {Read: "filename"},
	"envoy.config.bootstrap.v3.Admin": {
		Read: "address",
		Ignored: map[string]string{
			"access_log":               "admin requests are not logged",
			"access_log_path":          "admin requests are not logged",
			"profile_path":             "profiles are asked for over HTTP",
			"socket_options":           "a plain socket is used",
			"ignore_global_conn_limit": "the limit is for listeners",
		},
	},
	"envoy.config.core.v3.Address":       {Read: "socket_address"},
	"envoy.config.core.v3.SocketAddress": {Read: "address port_value", Ignored: map[string]string{"protocol": "checked where it matters"}},
})
