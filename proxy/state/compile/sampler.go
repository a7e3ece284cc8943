package compile

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/trace"
)

// sampler compiles who decides which traces are kept; nil where nobody is named.
func sampler(m *corev3.TypedExtensionConfig) (trace.Sampler, error) {
	if m == nil {
		return nil, nil
	}
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	switch s := opened.(type) {
	case *samplersv3.AlwaysOnSamplerConfig:
		return trace.Always, nil
	case *samplersv3.TraceIdRatioBasedSamplerConfig:
		p := s.GetSamplingPercentage()
		return trace.ByID(uint64(p.GetNumerator()), uint64(denominator(p))), nil
	case *samplersv3.ParentBasedSamplerConfig:
		first, err := sampler(s.GetWrappedSampler())
		if err == nil && first == nil {
			err = fieldcheck.Refuse("", "is missing")
		}
		if err != nil {
			return nil, fieldcheck.At("typed_config.wrapped_sampler", err)
		}
		return trace.ByCaller(first), nil
	}
	return nil, fieldcheck.Refuse("typed_config", "%s is no sampler that is supported", opened.ProtoReflect().Descriptor().FullName())
}
