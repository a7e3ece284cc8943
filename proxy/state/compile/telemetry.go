package compile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	celfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otellogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/expr"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// observers makes what a listener's access logs and metrics filters ask for.
func (c *Compiler) observers(logs []*accesslogv3.AccessLog, stats []*statsv3.PluginConfig, direction listener.Direction) (stream.Observer, error) {
	var all stream.Observers
	for i, l := range logs {
		o, err := c.accessLog(l)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("access_log[%d]", i), err)
		}
		all = append(all, o)
	}
	for _, s := range stats {
		o, err := c.metrics(s, direction)
		if err != nil {
			return nil, fieldcheck.At("metrics", err)
		}
		all = append(all, o)
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	default:
		return all, nil
	}
}

func (c *Compiler) metrics(m *statsv3.PluginConfig, direction listener.Direction) (stream.Observer, error) {
	out := telemetry.Metrics{
		Source:         direction != listener.Inbound && m.GetReporter() != statsv3.Reporter_SERVER_GATEWAY,
		NoHostFallback: m.GetDisableHostHeaderFallback(),
		TCPInterval:    m.GetTcpReportingDuration().AsDuration(),
	}
	for _, o := range m.GetMetrics() {
		out.Overrides = append(out.Overrides, telemetry.Override{
			Metric: strings.TrimPrefix(o.GetName(), "istio_"), Labels: o.GetDimensions(), Remove: o.GetTagsToRemove(), Drop: o.GetDrop(),
		})
	}
	return c.Telemetry.Metrics(out)
}

func (c *Compiler) accessLog(m *accesslogv3.AccessLog) (stream.Observer, error) {
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	filter, err := c.logFilter(m.GetFilter())
	if err != nil {
		return nil, fieldcheck.At("filter", err)
	}
	o, err := c.logger(opened, filter)
	return o, fieldcheck.At("typed_config", err)
}

func (c *Compiler) logger(opened proto.Message, filter logCondition) (stream.Observer, error) {
	out := telemetry.AccessLog{Filter: filter}
	var err error
	switch t := opened.(type) {
	case *grpclogv3.HttpGrpcAccessLogConfig:
		return c.httpGRPCLog(t, filter)
	case *grpclogv3.TcpGrpcAccessLogConfig:
		return c.tcpGRPCLog(t, filter)
	case *otellogv3.OpenTelemetryAccessLogConfig:
		return c.otlpLog(t, filter)
	case *filelogv3.FileAccessLog:
		err = fileLog(&out, t)
	case *streamlogv3.StdoutAccessLog:
		out.Path = "/dev/stdout"
		err = logFormat(&out, t.GetLogFormat())
	case *streamlogv3.StderrAccessLog:
		out.Path = "/dev/stderr"
		err = logFormat(&out, t.GetLogFormat())
	default:
		err = fieldcheck.Refuse("", "%s is not an access logger that is supported", opened.ProtoReflect().Descriptor().FullName())
	}
	if err != nil {
		return nil, err
	}
	return c.Telemetry.AccessLog(out)
}

//nolint:staticcheck // the deprecated forms are still written
func fileLog(out *telemetry.AccessLog, m *filelogv3.FileAccessLog) error {
	out.Path, out.Text, out.JSON = m.GetPath(), m.GetFormat(), m.GetJsonFormat()
	return logFormat(out, m.GetLogFormat())
}

func logFormat(out *telemetry.AccessLog, m *corev3.SubstitutionFormatString) error {
	if m == nil {
		return nil
	}
	var err error
	out.Format, err = written(m)
	return fieldcheck.At("log_format", err)
}

// written is what a format says.
func written(m *corev3.SubstitutionFormatString) (out telemetry.Format, err error) {
	if err := formatters(m.GetFormatters()); err != nil {
		return out, fieldcheck.At("formatters", err)
	}
	out.OmitEmpty, out.JSON = m.GetOmitEmptyValues(), m.GetJsonFormat()
	out.Text = m.GetTextFormat() //nolint:staticcheck // still written
	if s := m.GetTextFormatSource(); s != nil {
		out.Text, err = text(s)
	}
	return out, fieldcheck.At("text_format_source", err)
}

// formatters are extensions with further operators. Those of the ones that are
// known are always there.
func formatters(list []*corev3.TypedExtensionConfig) error {
	for i, f := range list {
		switch kind := short(f.GetTypedConfig().GetTypeUrl()); kind {
		case "envoy.extensions.formatter.cel.v3.Cel", "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery", "envoy.extensions.formatter.metadata.v3.Metadata":
		default:
			return fieldcheck.Refuse(fmt.Sprintf("[%d]", i), "%s is not supported, write cel, req_without_query or metadata", kind)
		}
	}
	return nil
}

type logCondition = func(*stream.Request, *stream.Response) bool

func (c *Compiler) logFilter(m *accesslogv3.AccessLogFilter) (logCondition, error) {
	switch f := m.GetFilterSpecifier().(type) {
	case nil:
		return nil, nil
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return func(req *stream.Request, _ *stream.Response) bool { return !req.Info.HealthCheck }, nil
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		return flagFilter(f.ResponseFlagFilter.GetFlags()), nil
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		holds := c.comparison(f.StatusCodeFilter.GetComparison())
		return func(req *stream.Request, _ *stream.Response) bool { return holds(int64(req.Info.Status)) }, nil
	case *accesslogv3.AccessLogFilter_DurationFilter:
		holds := c.comparison(f.DurationFilter.GetComparison())
		return func(req *stream.Request, _ *stream.Response) bool {
			return holds(soFar(req.Info).Milliseconds())
		}, nil
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		h, err := headerMatch(f.HeaderFilter.GetHeader())
		return func(req *stream.Request, _ *stream.Response) bool { return h.Holds(req) }, err
	case *accesslogv3.AccessLogFilter_TraceableFilter:
		return func(req *stream.Request, _ *stream.Response) bool { return req.Info.Trace.Sampled }, nil
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		share := runtime.Share{PerMillion: perMillion(f.RuntimeFilter.GetPercentSampled()), Key: c.Runtime.Key(f.RuntimeFilter.GetRuntimeKey())}
		return func(*stream.Request, *stream.Response) bool { return share.Drawn() }, nil
	case *accesslogv3.AccessLogFilter_GrpcStatusFilter:
		return grpcFilter(f.GrpcStatusFilter), nil
	case *accesslogv3.AccessLogFilter_MetadataFilter:
		return metadataFilter(f.MetadataFilter)
	case *accesslogv3.AccessLogFilter_ExtensionFilter:
		condition, err := expressionFilter(f.ExtensionFilter.GetTypedConfig())
		return condition, fieldcheck.At("extension_filter.typed_config", err)
	case *accesslogv3.AccessLogFilter_AndFilter:
		return c.logFilters(f.AndFilter.GetFilters(), true)
	case *accesslogv3.AccessLogFilter_OrFilter:
		return c.logFilters(f.OrFilter.GetFilters(), false)
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

// expressionFilter reads a condition in the Common Expression Language.
func expressionFilter(packed *anypb.Any) (logCondition, error) {
	opened, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	m, ok := opened.(*celfilterv3.ExpressionFilter)
	if !ok {
		return nil, fieldcheck.Refuse("", "%s is not supported, write ExpressionFilter", opened.ProtoReflect().Descriptor().FullName())
	}
	condition, err := expr.Condition(m.GetExpression())
	if err != nil {
		return nil, fieldcheck.Refuse("expression", "%v", err)
	}
	return condition.Holds, nil
}

// soFar is how long a request has taken, until now while it is not over.
func soFar(i *stream.Info) time.Duration {
	if i.End.IsZero() {
		return time.Since(i.Start)
	}
	return i.End.Sub(i.Start)
}

func grpcFilter(m *accesslogv3.GrpcStatusFilter) logCondition {
	return func(req *stream.Request, resp *stream.Response) bool {
		n, found := stream.GRPCStatusOf(req, resp)
		return (found && slices.Contains(m.GetStatuses(), accesslogv3.GrpcStatusFilter_Status(n))) != m.GetExclude()
	}
}

func metadataFilter(m *accesslogv3.MetadataFilter) (logCondition, error) {
	otherwise := m.GetMatchIfKeyNotFound() == nil || m.GetMatchIfKeyNotFound().GetValue()
	matcher := m.GetMatcher()
	if matcher == nil {
		return func(*stream.Request, *stream.Response) bool { return otherwise }, nil
	}
	holds, err := metadataHolds(matcher)
	var path []string
	for _, s := range matcher.GetPath() {
		path = append(path, s.GetKey())
	}
	return func(req *stream.Request, _ *stream.Response) bool {
		if _, found := req.Info.Metadata.Get(matcher.GetFilter(), path...); !found {
			return otherwise
		}
		return holds(&req.Info.Metadata)
	}, fieldcheck.At("metadata_filter.matcher", err)
}

func (c *Compiler) logFilters(list []*accesslogv3.AccessLogFilter, all bool) (logCondition, error) {
	var each []logCondition
	for _, f := range list {
		one, err := c.logFilter(f)
		if err != nil {
			return nil, err
		}
		if one == nil {
			one = func(*stream.Request, *stream.Response) bool { return true }
		}
		each = append(each, one)
	}
	return func(req *stream.Request, resp *stream.Response) bool {
		for _, one := range each {
			if one(req, resp) != all {
				return !all
			}
		}
		return all
	}, nil
}

func (c *Compiler) comparison(m *accesslogv3.ComparisonFilter) func(int64) bool {
	key, otherwise := c.Runtime.Key(m.GetValue().GetRuntimeKey()), float64(m.GetValue().GetDefaultValue())
	want := func() int64 { return int64(key.Number(otherwise)) }
	switch m.GetOp() {
	case accesslogv3.ComparisonFilter_GE:
		return func(v int64) bool { return v >= want() }
	case accesslogv3.ComparisonFilter_LE:
		return func(v int64) bool { return v <= want() }
	case accesslogv3.ComparisonFilter_NE:
		return func(v int64) bool { return v != want() }
	default:
		return func(v int64) bool { return v == want() }
	}
}

// flagFilter holds when any of the named flags is set; no name means any flag.
func flagFilter(names []string) logCondition {
	return func(req *stream.Request, _ *stream.Response) bool {
		if len(names) == 0 {
			return req.Info.Flags != 0
		}
		for _, n := range names {
			for f := stream.Flags(1); f != 0 && f <= req.Info.Flags; f <<= 1 {
				if req.Info.Flags&f != 0 && f.String() == n {
					return true
				}
			}
		}
		return false
	}
}
