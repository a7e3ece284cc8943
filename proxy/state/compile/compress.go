package compile

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	brotliv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/compressor/v3"
	unbrotliv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/brotli/decompressor/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	gunzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/decompressor/v3"
	zstdv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/compressor/v3"
	unzstdv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/zstd/decompressor/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	decompressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/compress"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func compressorFilter(c *Compiler, m *compressorv3.Compressor) (builder, error) {
	base, err := c.compressor(m)
	if err != nil {
		return nil, err
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		f := *base
		if override != nil {
			per, err := as[*compressorv3.CompressorPerRoute](override)
			if err != nil {
				return nil, err
			}
			if err := overrideCompressor(&f, per); err != nil {
				return nil, err
			}
		}
		// One that is off here still has its say in the choice, as in Envoy.
		f.Group = &on.compressors
		f.Group.Add(&f)
		if f.Replies == (runtime.Flag{}) && f.Requests == nil {
			return nil, nil
		}
		return &f, nil
	}, nil
}

//nolint:staticcheck // settings in their old place are still written
func (c *Compiler) compressor(m *compressorv3.Compressor) (*compress.Filter, error) {
	coding, err := codingOf(m.GetCompressorLibrary())
	if err != nil {
		return nil, fieldcheck.At("compressor_library.typed_config", err)
	}
	f := &compress.Filter{Coding: coding, First: m.GetChooseFirst()}
	if r := m.GetRequestDirectionConfig(); r != nil && c.enabled(r.GetCommonConfig().GetEnabled()) != (runtime.Flag{}) {
		f.OnRequests = c.enabled(r.GetCommonConfig().GetEnabled())
		s := suitable(r.GetCommonConfig().GetMinContentLength(), r.GetCommonConfig().GetContentType())
		f.Requests = &s
	}
	r := m.GetResponseDirectionConfig()
	if r == nil {
		f.Replies, f.KeepETag, f.Hide = c.enabled(m.GetRuntimeEnabled()), m.GetDisableOnEtagHeader(), m.GetRemoveAcceptEncodingHeader()
		f.Response = suitable(m.GetContentLength(), m.GetContentType())
		return f, nil
	}
	f.Replies, f.KeepETag, f.Hide = c.enabled(r.GetCommonConfig().GetEnabled()), r.GetDisableOnEtagHeader(), r.GetRemoveAcceptEncodingHeader()
	f.WeakenETag, f.Tell = r.GetWeakenEtagOnCompress(), r.GetStatusHeaderEnabled()
	f.Response = suitable(r.GetCommonConfig().GetMinContentLength(), r.GetCommonConfig().GetContentType())
	for _, s := range r.GetUncompressibleResponseCodes() {
		f.Never = append(f.Never, int(s))
	}
	return f, nil
}

func overrideCompressor(f *compress.Filter, per *compressorv3.CompressorPerRoute) error {
	if per.GetDisabled() {
		f.Replies = runtime.Flag{}
		return nil
	}
	o := per.GetOverrides()
	if r := o.GetResponseDirectionConfig(); r != nil {
		f.Replies = runtime.Flag{On: true}
		if hide := r.GetRemoveAcceptEncodingHeader(); hide != nil {
			f.Hide = hide.GetValue()
		}
	}
	if o.GetCompressorLibrary() != nil {
		var err error
		if f.Coding, err = codingOf(o.GetCompressorLibrary()); err != nil {
			return fieldcheck.At("overrides.compressor_library.typed_config", err)
		}
	}
	return nil
}

// enabled is a switch that is on where nothing is written.
func (c *Compiler) enabled(m *corev3.RuntimeFeatureFlag) runtime.Flag {
	f := c.flag(m)
	f.On = f.On || m.GetDefaultValue() == nil
	return f
}

// shortest is the shortest content that is compressed where nothing is written, as
// Envoy has it.
const shortest = 30

func suitable(least *wrapperspb.UInt32Value, types []string) compress.Suitable {
	s := compress.Suitable{Min: shortest, Types: types}
	if least != nil {
		s.Min = int64(least.GetValue())
	}
	if len(types) == 0 {
		s.Types = compress.DefaultTypes
	}
	return s
}

func codingOf(library *corev3.TypedExtensionConfig) (*compress.Coding, error) {
	opened, err := unpack(library.GetTypedConfig())
	if err != nil {
		return nil, err
	}
	switch l := opened.(type) {
	case *gzipv3.Gzip:
		return compress.Gzip(level(l.GetCompressionLevel())), nil
	case *brotliv3.Brotli:
		quality, window := 3, 18
		if l.GetQuality() != nil {
			quality = int(l.GetQuality().GetValue())
		}
		if l.GetWindowBits() != nil {
			window = int(l.GetWindowBits().GetValue())
		}
		return compress.Brotli(quality, window), nil
	case *zstdv3.Zstd:
		return compress.Zstd(int(l.GetCompressionLevel().GetValue()), l.GetEnableChecksum())
	default:
		return nil, fieldcheck.Refuse("", "%s is not supported, write gzip, brotli or zstd", opened.ProtoReflect().Descriptor().FullName())
	}
}

// level is a gzip level in Go's numbers.
func level(l gzipv3.Gzip_CompressionLevel) int {
	switch l {
	case gzipv3.Gzip_BEST_SPEED, gzipv3.Gzip_COMPRESSION_LEVEL_2, gzipv3.Gzip_COMPRESSION_LEVEL_3, gzipv3.Gzip_COMPRESSION_LEVEL_4, gzipv3.Gzip_COMPRESSION_LEVEL_5,
		gzipv3.Gzip_COMPRESSION_LEVEL_6, gzipv3.Gzip_COMPRESSION_LEVEL_7, gzipv3.Gzip_COMPRESSION_LEVEL_8, gzipv3.Gzip_COMPRESSION_LEVEL_9:
		return int(l)
	}
	return -1
}

func decompressorFilter(compiler *Compiler, m *decompressorv3.Decompressor) (builder, error) {
	library := m.GetDecompressorLibrary()
	opened, err := unpack(library.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("decompressor_library.typed_config", err)
	}
	way := func(c *decompressorv3.Decompressor_CommonDirectionConfig) compress.Direction {
		return compress.Direction{On: compiler.enabled(c.GetEnabled()), Transform: c.GetIgnoreNoTransformHeader()}
	}
	advertise := m.GetRequestDirectionConfig().GetAdvertiseAcceptEncoding()
	f := &compress.Decompressor{
		Library: library.GetName(), Request: way(m.GetRequestDirectionConfig().GetCommonConfig()), Response: way(m.GetResponseDirectionConfig().GetCommonConfig()),
		Advertise: advertise == nil || advertise.GetValue(),
	}
	switch l := opened.(type) {
	case *gunzipv3.Gzip:
		f.Decoding = compress.Gunzip(int(l.GetMaxInflateRatio().GetValue()))
	case *unbrotliv3.Brotli:
		f.Decoding = compress.Unbrotli()
	case *unzstdv3.Zstd:
		f.Decoding = compress.Unzstd()
	default:
		return nil, fieldcheck.Refuse("decompressor_library.typed_config", "%s is not supported, write gzip, brotli or zstd", opened.ProtoReflect().Descriptor().FullName())
	}
	return always(f), nil
}
