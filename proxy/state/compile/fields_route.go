package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

var routeFields = fieldcheck.Table{
	"envoy.config.route.v3.RouteConfiguration": {
		Read: "name virtual_hosts request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove ignore_port_in_host_matching vhds max_direct_response_body_size_bytes ignore_path_parameters_in_path_matching typed_per_filter_config most_specific_header_mutations_wins validate_clusters request_mirror_policies",
		Ignored: map[string]string{
			"metadata": "nobody reads it",
		},
	},
	"envoy.config.route.v3.Vhds":                                  {Read: "config_source"},
	"envoy.config.route.v3.ScopedRouteConfiguration":              {Read: "name route_configuration_name route_configuration key"},
	"envoy.config.route.v3.ScopedRouteConfiguration.Key":          {Read: "fragments"},
	"envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment": {Read: "string_key"},
	"envoy.config.route.v3.VirtualHost": {
		Read: "rate_limits name domains routes require_tls request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove " +
			"typed_per_filter_config include_request_attempt_count include_attempt_count_in_response retry_policy hedge_policy metadata cors request_mirror_policies",
		Ignored: map[string]string{
			"virtual_clusters": "only statistics",
		},
	},
	"envoy.config.route.v3.Route": {
		Read: "metadata name match route redirect direct_response decorator tracing request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config",
		Ignored: map[string]string{
			"stat_prefix": "only statistics",
		},
	},
	"envoy.config.route.v3.Decorator": {Read: "operation propagate"},
	"envoy.config.route.v3.Tracing": {
		Read:    "client_sampling random_sampling overall_sampling custom_tags",
		Ignored: map[string]string{"operation": "the route's decorator names the span", "upstream_operation": "the span is named for the cluster"},
	},
	"envoy.config.route.v3.RouteMatch": {
		Read: "prefix path safe_regex path_separated_prefix path_match_policy case_sensitive headers query_parameters dynamic_metadata runtime_fraction connect_matcher cookies grpc tls_context",
	},
	"envoy.config.route.v3.RouteMatch.ConnectMatcher":         {},
	"envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions":  {},
	"envoy.config.route.v3.RouteMatch.TlsContextMatchOptions": {Read: "presented"},
	"envoy.config.route.v3.CookieMatcher":                     {Read: "name string_match invert_match"},
	"envoy.config.route.v3.HeaderMatcher": {
		Read: "name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match treat_missing_header_as_empty",
	},
	"envoy.config.route.v3.QueryParameterMatcher": {Read: "name string_match present_match"},
	"envoy.config.route.v3.RouteAction": {
		Read: "cluster cluster_header weighted_clusters cluster_not_found_response_code prefix_rewrite regex_rewrite path_rewrite_policy host_rewrite_literal host_rewrite_header host_rewrite_path_regex auto_host_rewrite append_x_forwarded_host timeout " +
			"retry_policy request_mirror_policies hash_policy upgrade_configs max_stream_duration max_grpc_timeout grpc_timeout_offset rate_limits include_vh_rate_limits metadata_match hedge_policy internal_redirect_policy priority cors idle_timeout",
	},
	"envoy.config.route.v3.CorsPolicy": {
		Read:    "allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials allow_private_network_access filter_enabled forward_not_matching_preflights",
		Ignored: map[string]string{"shadow_enabled": "only statistics"},
	},
	"envoy.config.route.v3.RouteAction.MaxStreamDuration":           {Read: "max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset"},
	"envoy.config.route.v3.RouteAction.UpgradeConfig":               {Read: "upgrade_type enabled connect_config"},
	"envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig": {Read: "proxy_protocol_config allow_post"},
	"envoy.config.route.v3.WeightedCluster": {
		Read:    "clusters runtime_key_prefix",
		Ignored: map[string]string{"total_weight": "the sum of the weights is used, as Envoy does"},
	},
	"envoy.config.route.v3.WeightedCluster.ClusterWeight": {
		Read: "name weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove host_rewrite_literal metadata_match",
	},
	"envoy.config.route.v3.HedgePolicy": {Read: "hedge_on_per_try_timeout initial_requests additional_request_chance"},
	"envoy.config.route.v3.RetryPolicy": {
		Read: "retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers retry_priority",
	},
	"envoy.config.route.v3.RetryPolicy.RetryPriority":                   {Read: "name typed_config"},
	"envoy.config.route.v3.RetryPolicy.RetryHostPredicate":              {Read: "name typed_config"},
	"envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff":         {Read: "reset_headers max_interval"},
	"envoy.config.route.v3.RetryPolicy.ResetHeader":                     {Read: "name format"},
	"envoy.config.route.v3.RetryPolicy.RetryBackOff":                    {Read: "base_interval max_interval"},
	"envoy.config.route.v3.RouteAction.HashPolicy":                      {Read: "header cookie connection_properties query_parameter terminal"},
	"envoy.config.route.v3.RouteAction.HashPolicy.Header":               {Read: "header_name regex_rewrite"},
	"envoy.config.route.v3.RouteAction.HashPolicy.Cookie":               {Read: "name ttl path attributes"},
	"envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute":      {Read: "name value"},
	"envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties": {Read: "source_ip"},
	"envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter":       {Read: "name"},
	"envoy.config.route.v3.RouteAction.RequestMirrorPolicy": {
		Read:    "cluster cluster_header runtime_fraction disable_shadow_host_suffix_append",
		Ignored: map[string]string{"trace_sampled": "a copy has no span of its own: it carries the trace context of the request that it copies"},
	},
	"envoy.config.route.v3.RedirectAction": {
		Read: "https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query",
	},
	"envoy.config.route.v3.DirectResponseAction": {Read: "status body"},
	"envoy.config.route.v3.InternalRedirectPolicy": {
		Read: "max_internal_redirects redirect_response_codes predicates allow_cross_scheme_redirect response_headers_to_copy",
	},
	"envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig":        {},
	"envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig": {Read: "allowed_route_names"},
	"envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig":     {},
	"envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate":         {},
	"envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig":          {Read: "metadata_match"},
	"envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig":   {Read: "update_frequency"},
	"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate":              {},
}
