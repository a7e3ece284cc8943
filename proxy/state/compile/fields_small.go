package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// smallFields are those of filters with few.
var smallFields = fieldcheck.Table{
	"envoy.extensions.filters.http.buffer.v3.Buffer":         {Read: "max_request_bytes"},
	"envoy.extensions.filters.http.buffer.v3.BufferPerRoute": {Read: "disabled buffer"},
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy": {
		Read:    "filter_enabled additional_origins",
		Ignored: map[string]string{"shadow_enabled": "only statistics"},
	},
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb":                       {},
	"envoy.extensions.filters.http.set_metadata.v3.Config":                    {Read: "metadata_namespace value metadata"},
	"envoy.extensions.filters.http.set_metadata.v3.Metadata":                  {Read: "metadata_namespace allow_overwrite value"},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config":              {Read: "request_rules response_rules", Ignored: map[string]string{"stat_prefix": "only a name in statistics"}},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule":         {Read: "header cookie on_header_present on_header_missing remove"},
	"envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair": {Read: "metadata_namespace key value regex_value_rewrite type encode"},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation":         {Read: "mutations", Ignored: map[string]string{"most_specific_header_mutations_wins": "the filter's own mutations come first, then the route's"}},
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute": {Read: "mutations"},
	"envoy.extensions.filters.http.header_mutation.v3.Mutations":              {Read: "request_mutations response_mutations"},
	"envoy.config.common.mutation_rules.v3.HeaderMutation":                    {Read: "remove append remove_on_match"},
	"envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch":      {Read: "key_matcher"},
	"envoy.extensions.filters.http.compressor.v3.Compressor": {
		Read: "content_length content_type disable_on_etag_header remove_accept_encoding_header compressor_library response_direction_config",
		Ignored: map[string]string{
			"choose_first": "there is one compressor",
		},
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig": {
		Read:    "common_config disable_on_etag_header remove_accept_encoding_header uncompressible_response_codes",
		Ignored: map[string]string{"weaken_etag_on_compress": "tags are always made weak", "status_header_enabled": "no field tells why a reply was not compressed"},
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig": {Read: "enabled min_content_length content_type"},
	"envoy.extensions.filters.http.compressor.v3.CompressorPerRoute":               {Read: "disabled overrides"},
	"envoy.extensions.filters.http.compressor.v3.CompressorOverrides":              {},
	"envoy.extensions.compression.gzip.compressor.v3.Gzip": {
		Read: "compression_level",
		Ignored: map[string]string{
			"memory_level":         "Go's library has one",
			"compression_strategy": "Go's library has one",
			"window_bits":          "the window is 32 KiB",
			"chunk_size":           "content is sent as it comes",
		},
	},
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession": {
		Read: "session_state strict status_on_strict_destination_not_found", Ignored: map[string]string{"stat_prefix": "only statistics"},
	},
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute": {Read: "disabled stateful_session"},
	"envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState":  {Read: "cookie"},
	"envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState":  {Read: "name"},
	"envoy.type.http.v3.Cookie":                                 {Read: "name ttl path attributes"},
	"envoy.type.http.v3.CookieAttribute":                        {Read: "name value"},
	"envoy.extensions.filters.http.health_check.v3.HealthCheck": {Read: "pass_through_mode cache_time cluster_min_healthy_percentages headers"},
}
