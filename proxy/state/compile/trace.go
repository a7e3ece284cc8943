package compile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/trace"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// collectorTime is how long a collector may take for a batch.
const collectorTime = 5 * time.Second

// tracer compiles what a connection manager traces; nil when there is no
// provider.
func (c *Compiler) tracer(m *hcmv3.HttpConnectionManager_Tracing, direction listener.Direction, spawn bool) (*trace.Tracer, error) {
	if m.GetProvider() == nil {
		return nil, nil
	}
	config := trace.Config{
		Client: share(m.GetClientSampling()), Random: share(m.GetRandomSampling()), Overall: share(m.GetOverallSampling()),
		Egress: direction == listener.Outbound, Silent: m.GetNoContextPropagation(), NodeID: c.NodeID,
	}
	if n := m.GetMaxPathTagLength(); n != nil {
		config.MaxPath = cmp.Or(int(n.GetValue()), -1)
	}
	config.Spawn = spawn || m.GetSpawnUpstreamSpan().GetValue()
	config.Server = config.Spawn || !config.Egress
	var err error
	if config.Tags, err = c.tags(m.GetCustomTags()); err != nil {
		return nil, fieldcheck.At("custom_tags", err)
	}
	opened, err := unpack(m.GetProvider().GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("provider.typed_config", err)
	}
	switch p := opened.(type) {
	case *tracev3.ZipkinConfig:
		err = c.zipkin(p, &config)
	case *tracev3.OpenTelemetryConfig:
		err = c.openTelemetry(p, &config)
	default:
		err = fieldcheck.Refuse("", "%s is not a tracer that is supported, use Zipkin or OpenTelemetry", opened.ProtoReflect().Descriptor().FullName())
	}
	if err != nil {
		return nil, fieldcheck.At("provider.typed_config", err)
	}
	return trace.New(config), nil
}

// share is a percentage per million; unset is all.
func share(p *typev3.Percent) uint32 {
	if p == nil {
		return 1_000_000
	}
	return uint32(min(p.GetValue(), 100) * 10_000)
}

func (c *Compiler) zipkin(m *tracev3.ZipkinConfig, config *trace.Config) error {
	if v := m.GetCollectorEndpointVersion(); v != tracev3.ZipkinConfig_HTTP_JSON && v != tracev3.ZipkinConfig_DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE {
		return fieldcheck.Refuse("collector_endpoint_version", "%s is not supported, write HTTP_JSON", v)
	}
	config.Shared = m.GetSharedSpanContext() == nil || m.GetSharedSpanContext().GetValue()
	config.Long = m.GetTraceId_128Bit()
	if m.GetTraceContextOption() == tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION {
		config.Propagation = trace.Both
	}
	host := m.GetCollectorHostname()
	if host == "" {
		host = m.GetCollectorCluster()
	}
	caller := c.caller(m.GetCollectorCluster(), host, collectorTime)
	config.Reporter = c.reporter(trace.Zipkin(caller, m.GetCollectorEndpoint(), c.serviceName()))
	return nil
}

func (c *Compiler) openTelemetry(m *tracev3.OpenTelemetryConfig, config *trace.Config) error {
	config.Propagation, config.Long = trace.W3C, true
	var err error
	if config.Sampler, err = sampler(m.GetSampler()); err != nil {
		return fieldcheck.At("sampler", err)
	}
	service := m.GetServiceName()
	if service == "" {
		service = c.serviceName()
	}
	if h := m.GetHttpService(); h != nil {
		caller, path, err := c.httpService(h)
		if err != nil {
			return fieldcheck.At("http_service", err)
		}
		config.Reporter = c.reporter(trace.OTLPHTTP(caller, path, service))
		return nil
	}
	caller, err := c.grpcCaller(m.GetGrpcService(), collectorTime)
	if err != nil {
		return fieldcheck.At("grpc_service", err)
	}
	config.Reporter = c.reporter(trace.OTLP(caller, service))
	return nil
}

func (c *Compiler) reporter(send func([]trace.Span) error) *upcall.Reporter[trace.Span] {
	return &upcall.Reporter[trace.Span]{Send: send, Failed: func(err error) { c.Log.Warn("spans lost", "error", err) }}
}

// serviceName is what collectors call this proxy's workload.
func (c *Compiler) serviceName() string {
	if c.Self.CanonicalName != "" && c.Self.Namespace != "" {
		return c.Self.CanonicalName + "." + c.Self.Namespace
	}
	if c.Service != "" {
		return c.Service
	}
	return "lateen-proxy"
}

// metadataText finds what filters have left under a key, as text.
func metadataText(m *tracingv3.CustomTag_Metadata) func(*stream.Request, *stream.Response) string {
	var path []string
	for _, p := range m.GetMetadataKey().GetPath() {
		path = append(path, p.GetKey())
	}
	return func(req *stream.Request, _ *stream.Response) string {
		value, _ := req.Info.Metadata.Get(m.GetMetadataKey().GetKey(), path...)
		if plain, ok := value.(string); ok {
			return plain
		}
		if text, err := json.Marshal(value); err == nil && value != nil {
			return string(text)
		}
		return m.GetDefaultValue()
	}
}

// routeTracing compiles what a route says of its requests' spans.
func (c *Compiler) routeTracing(m *routev3.Tracing) (*stream.Tracing, error) {
	if m == nil {
		return nil, nil
	}
	part := func(p *typev3.FractionalPercent) uint32 {
		if p == nil {
			return 1_000_000
		}
		return perMillion(p)
	}
	out := &stream.Tracing{Client: part(m.GetClientSampling()), Random: part(m.GetRandomSampling()), Overall: part(m.GetOverallSampling())}
	var err error
	out.Tags, err = c.tags(m.GetCustomTags())
	return out, fieldcheck.At("custom_tags", err)
}

func (c *Compiler) tags(list []*tracingv3.CustomTag) ([]stream.Tag, error) {
	var out []stream.Tag
	for i, m := range list {
		t := stream.Tag{Name: m.GetTag()}
		switch v := m.GetType().(type) {
		case *tracingv3.CustomTag_Literal_:
			t.Value = func(*stream.Request, *stream.Response) string { return v.Literal.GetValue() }
		case *tracingv3.CustomTag_RequestHeader:
			t.Value = func(req *stream.Request, _ *stream.Response) string {
				if found, ok := req.Header.Joined(v.RequestHeader.GetName()); ok {
					return found
				}
				return v.RequestHeader.GetDefaultValue()
			}
		case *tracingv3.CustomTag_Environment_:
			if v.Environment.GetName() == "" {
				return nil, fieldcheck.Refuse(fmt.Sprintf("[%d].environment.name", i), "is missing")
			}
			value, set := os.LookupEnv(v.Environment.GetName()) // no setting of ours: Envoy's tag asks for it
			if !set {
				value = v.Environment.GetDefaultValue()
			}
			t.Value = func(*stream.Request, *stream.Response) string { return value }
		case *tracingv3.CustomTag_Metadata_:
			t.Value = metadataText(v.Metadata)
		case *tracingv3.CustomTag_Value:
			format, err := c.Telemetry.Format(v.Value)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("[%d].value", i), err)
			}
			t.Value = format
		default:
			return nil, fieldcheck.Refuse(fmt.Sprintf("[%d]", i), "is of a kind that is not supported, use literal, request_header, environment, metadata or value")
		}
		out = append(out, t)
	}
	return out, nil
}
