package compile

import "github.com/lateenmesh/lateen/internal/fieldcheck"

// contentFields are those of filters that change what messages contain.
var contentFields = fieldcheck.Table{
	"envoy.extensions.filters.http.compressor.v3.Compressor": {
		Read: "content_length content_type disable_on_etag_header remove_accept_encoding_header runtime_enabled compressor_library request_direction_config response_direction_config choose_first",
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.RequestDirectionConfig": {Read: "common_config"},
	"envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig": {
		Read: "common_config disable_on_etag_header weaken_etag_on_compress remove_accept_encoding_header uncompressible_response_codes status_header_enabled",
	},
	"envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig": {Read: "enabled min_content_length content_type"},
	"envoy.extensions.filters.http.compressor.v3.CompressorPerRoute":               {Read: "disabled overrides"},
	"envoy.extensions.filters.http.compressor.v3.CompressorOverrides":              {Read: "response_direction_config compressor_library"},
	"envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides":       {Read: "remove_accept_encoding_header"},
	"envoy.extensions.compression.gzip.compressor.v3.Gzip": {
		Read: "compression_level",
		Ignored: map[string]string{
			"memory_level":         "Go's library has one",
			"compression_strategy": "Go's library has one",
			"window_bits":          "the window is 32 KiB",
			"chunk_size":           "content is sent as it comes",
		},
	},
	"envoy.extensions.compression.brotli.compressor.v3.Brotli": {
		Read: "quality window_bits",
		Ignored: map[string]string{
			"encoder_mode":                     "a hint for better compression only",
			"input_block_bits":                 "the library chooses by quality",
			"chunk_size":                       "content is sent as it comes",
			"disable_literal_context_modeling": "the library chooses by quality",
		},
	},
	"envoy.extensions.compression.zstd.compressor.v3.Zstd": {
		Read: "compression_level enable_checksum",
		Ignored: map[string]string{
			"strategy":   "the library chooses by level",
			"chunk_size": "content is sent as it comes",
		},
	},
	"envoy.extensions.filters.http.on_demand.v3.OnDemand":                                {Read: "odcds"},
	"envoy.extensions.filters.http.on_demand.v3.OnDemandCds":                             {Read: "source timeout"},
	"envoy.extensions.filters.http.on_demand.v3.PerRouteConfig":                          {Read: "odcds"},
	"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config":                          {Read: "upgrade_protobuf_to_grpc ignore_query_parameters"},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor":                         {Read: "decompressor_library request_direction_config response_direction_config"},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.RequestDirectionConfig":  {Read: "common_config advertise_accept_encoding"},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.ResponseDirectionConfig": {Read: "common_config"},
	"envoy.extensions.filters.http.decompressor.v3.Decompressor.CommonDirectionConfig":   {Read: "enabled ignore_no_transform_header"},
	"envoy.extensions.compression.gzip.decompressor.v3.Gzip": {
		Read:    "max_inflate_ratio",
		Ignored: map[string]string{"window_bits": "any window is read", "chunk_size": "content is sent as it comes"},
	},
	"envoy.extensions.compression.brotli.decompressor.v3.Brotli": {
		Ignored: map[string]string{"disable_ring_buffer_reallocation": "a matter of memory only", "chunk_size": "content is sent as it comes"},
	},
	"envoy.extensions.compression.zstd.decompressor.v3.Zstd": {Ignored: map[string]string{"chunk_size": "content is sent as it comes"}},
}
