package compile

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otellogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// collector is where a log's entries go: name is what the log is called there.
func (c *Compiler) collector(name string, caller *upcall.Caller, every *durationpb.Duration, bytes *wrapperspb.UInt32Value, filter logCondition) telemetry.Collector {
	out := telemetry.Collector{Caller: caller, Every: every.AsDuration(), Filter: filter, Failed: func(err error) { c.Log.Warn("access log entries lost", "log", name, "error", err) }}
	if bytes != nil {
		out.Bytes = max(1, int(bytes.GetValue())) // 0 sends each by itself
	}
	return out
}

// grpcLog compiles a log that a service of Envoy's access log API keeps.
func (c *Compiler) grpcLog(m *grpclogv3.CommonGrpcAccessLogConfig, filter logCondition) (telemetry.GRPCLog, error) {
	var out telemetry.GRPCLog
	if v := m.GetTransportApiVersion(); v != corev3.ApiVersion_V3 && v != corev3.ApiVersion_AUTO {
		return out, fieldcheck.Refuse("common_config.transport_api_version", "%s is not supported, write V3", v)
	}
	caller, err := c.grpcCaller(m.GetGrpcService(), collectorTime)
	if err != nil {
		return out, fieldcheck.At("common_config.grpc_service", err)
	}
	out = telemetry.GRPCLog{
		Collector: c.collector(m.GetLogName(), caller, m.GetBufferFlushInterval(), m.GetBufferSizeBytes(), filter),
		Name:      m.GetLogName(), Node: &corev3.Node{Id: c.NodeID, Cluster: c.Service}, FilterStates: m.GetFilterStateObjectsToLog(),
	}
	out.Tags, err = c.tags(m.GetCustomTags())
	return out, fieldcheck.At("common_config.custom_tags", err)
}

func (c *Compiler) httpGRPCLog(m *grpclogv3.HttpGrpcAccessLogConfig, filter logCondition) (stream.Observer, error) {
	out, err := c.grpcLog(m.GetCommonConfig(), filter)
	if err != nil {
		return nil, err
	}
	out.RequestHeaders, out.ResponseHeaders, out.ResponseTrailers = lower(m.GetAdditionalRequestHeadersToLog()), lower(m.GetAdditionalResponseHeadersToLog()), lower(m.GetAdditionalResponseTrailersToLog())
	return out.Observer(), nil
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(n)
	}
	return out
}

func (c *Compiler) tcpGRPCLog(m *grpclogv3.TcpGrpcAccessLogConfig, filter logCondition) (stream.Observer, error) {
	out, err := c.grpcLog(m.GetCommonConfig(), filter)
	if err != nil {
		return nil, err
	}
	out.TCP = true
	return out.Observer(), nil
}

// otlpLog compiles a log that an OpenTelemetry collector keeps.
//
//nolint:staticcheck // common_config is still written
func (c *Compiler) otlpLog(m *otellogv3.OpenTelemetryAccessLogConfig, filter logCondition) (stream.Observer, error) {
	common := m.GetCommonConfig()
	name, every, bytes, tags := m.GetLogName(), m.GetBufferFlushInterval(), m.GetBufferSizeBytes(), append(append([]*tracingv3.CustomTag(nil), common.GetCustomTags()...), m.GetCustomTags()...)
	if common != nil {
		name = common.GetLogName()
		every, bytes = common.GetBufferFlushInterval(), common.GetBufferSizeBytes()
	}
	var caller *upcall.Caller
	var err error
	path := ""
	switch h := m.GetHttpService(); {
	case h != nil:
		if caller, path, err = c.httpService(h); err != nil {
			return nil, fieldcheck.At("http_service", err)
		}
	case m.GetGrpcService() != nil:
		caller, err = c.grpcCaller(m.GetGrpcService(), collectorTime)
		err = fieldcheck.At("grpc_service", err)
	default:
		caller, err = c.grpcCaller(common.GetGrpcService(), collectorTime)
		err = fieldcheck.At("common_config.grpc_service", err)
	}
	if err != nil {
		return nil, err
	}
	if err := formatters(m.GetFormatters()); err != nil {
		return nil, fieldcheck.At("formatters", err)
	}
	out := telemetry.OTLPLog{
		Collector: c.collector(name, caller, every, bytes, filter), Path: path, Body: m.GetBody(), Attributes: m.GetAttributes().GetValues(),
	}
	if !m.GetDisableBuiltinLabels() {
		out.Resource = []*commonv1.KeyValue{
			telemetry.OTLPText("log_name", name), telemetry.OTLPText("zone_name", ""), telemetry.OTLPText("cluster_name", c.Service), telemetry.OTLPText("node_name", c.NodeID),
		}
	}
	out.Resource = append(out.Resource, m.GetResourceAttributes().GetValues()...)
	if out.Tags, err = c.tags(tags); err != nil {
		return nil, fieldcheck.At("custom_tags", err)
	}
	return out.Observer()
}
