package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// limitFields are those of rate limits.
var limitFields = fieldcheck.Table{
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": {
		Read: "stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced response_headers_to_add descriptors stage enable_x_ratelimit_headers " +
			"always_consume_default_token_bucket rate_limited_as_resource_exhausted rate_limits vh_rate_limits max_dynamic_descriptors local_cluster_rate_limit",
	},
	"envoy.extensions.common.ratelimit.v3.LocalClusterRateLimit":     {},
	"envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor":  {Read: "entries token_bucket"},
	"envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry": {Read: "key value"},
	"envoy.type.v3.TokenBucket":                                      {Read: "max_tokens tokens_per_fill fill_interval"},
	"envoy.extensions.filters.http.ratelimit.v3.RateLimit": {
		Read: "stat_prefix domain stage timeout failure_mode_deny rate_limited_as_resource_exhausted rate_limit_service enable_x_ratelimit_headers disable_x_envoy_ratelimited_header " +
			"rate_limited_status response_headers_to_add status_on_error filter_enabled filter_enforced rate_limits request_type",
	},
	"envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute": {Read: "vh_rate_limits rate_limits domain"},
	"envoy.config.ratelimit.v3.RateLimitServiceConfig":             {Read: "grpc_service transport_api_version"},
	"envoy.config.route.v3.RateLimit": {
		Read: "stage actions disable_key",
	},
	"envoy.config.route.v3.RateLimit.Action": {
		Read: "destination_cluster request_headers query_parameters remote_address generic_key header_value_match metadata masked_remote_address query_parameter_value_match source_cluster",
	},
	"envoy.config.route.v3.RateLimit.Action.DestinationCluster":       {},
	"envoy.config.route.v3.RateLimit.Action.SourceCluster":            {},
	"envoy.config.route.v3.RateLimit.Action.RemoteAddress":            {},
	"envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress":      {Read: "v4_prefix_mask_len v6_prefix_mask_len"},
	"envoy.config.route.v3.RateLimit.Action.RequestHeaders":           {Read: "header_name descriptor_key skip_if_absent"},
	"envoy.config.route.v3.RateLimit.Action.QueryParameters":          {Read: "query_parameter_name descriptor_key skip_if_absent"},
	"envoy.config.route.v3.RateLimit.Action.GenericKey":               {Read: "descriptor_value descriptor_key"},
	"envoy.config.route.v3.RateLimit.Action.HeaderValueMatch":         {Read: "descriptor_key descriptor_value expect_match headers"},
	"envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch": {Read: "descriptor_key descriptor_value expect_match query_parameters"},
	"envoy.config.route.v3.RateLimit.Action.MetaData":                 {Read: "descriptor_key metadata_key default_value source skip_if_absent"},
	"envoy.type.metadata.v3.MetadataKey":                              {Read: "key path"},
	"envoy.type.metadata.v3.MetadataKey.PathSegment":                  {Read: "key"},
}
