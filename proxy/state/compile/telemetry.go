package compile

import (
	"fmt"

	statsv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/istio_stats/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/listener"
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
		all = append(all, c.Telemetry.Metrics(telemetry.Metrics{
			Source:         direction != listener.Inbound && s.GetReporter() != statsv3.Reporter_SERVER_GATEWAY,
			NoHostFallback: s.GetDisableHostHeaderFallback(),
			TCPInterval:    s.GetTcpReportingDuration().AsDuration(),
		}))
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

func (c *Compiler) accessLog(m *accesslogv3.AccessLog) (stream.Observer, error) {
	opened, err := unpack(m.GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("typed_config", err)
	}
	var out telemetry.AccessLog
	switch t := opened.(type) {
	case *filelogv3.FileAccessLog:
		out, err = fileLog(t)
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
		return nil, fieldcheck.At("typed_config", err)
	}
	if out.Filter, err = logFilter(m.GetFilter()); err != nil {
		return nil, fieldcheck.At("filter", err)
	}
	return c.Telemetry.AccessLog(out)
}

//nolint:staticcheck // the deprecated forms are still written
func fileLog(m *filelogv3.FileAccessLog) (telemetry.AccessLog, error) {
	out := telemetry.AccessLog{Path: m.GetPath(), Text: m.GetFormat(), JSON: m.GetJsonFormat()}
	return out, logFormat(&out, m.GetLogFormat())
}

func logFormat(out *telemetry.AccessLog, m *corev3.SubstitutionFormatString) error {
	if m == nil {
		return nil
	}
	if len(m.GetFormatters()) > 0 {
		return fieldcheck.Refuse("log_format.formatters", "is not supported")
	}
	out.OmitEmpty, out.JSON = m.GetOmitEmptyValues(), m.GetJsonFormat()
	out.Text = m.GetTextFormat() //nolint:staticcheck // still written
	if s := m.GetTextFormatSource(); s != nil {
		var err error
		if out.Text, err = text(s); err != nil {
			return fieldcheck.At("log_format.text_format_source", err)
		}
	}
	return nil
}

type logCondition = func(*stream.Request, *stream.Response) bool

func logFilter(m *accesslogv3.AccessLogFilter) (logCondition, error) {
	switch f := m.GetFilterSpecifier().(type) {
	case nil, *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return nil, nil
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		return flagFilter(f.ResponseFlagFilter.GetFlags()), nil
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		holds := comparison(f.StatusCodeFilter.GetComparison())
		return func(req *stream.Request, _ *stream.Response) bool { return holds(int64(req.Info.Status)) }, nil
	case *accesslogv3.AccessLogFilter_DurationFilter:
		holds := comparison(f.DurationFilter.GetComparison())
		return func(req *stream.Request, _ *stream.Response) bool {
			return holds(req.Info.End.Sub(req.Info.Start).Milliseconds())
		}, nil
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		h, err := headerMatch(f.HeaderFilter.GetHeader())
		return func(req *stream.Request, _ *stream.Response) bool { return h.Holds(req) }, err
	case *accesslogv3.AccessLogFilter_AndFilter:
		return logFilters(f.AndFilter.GetFilters(), true)
	case *accesslogv3.AccessLogFilter_OrFilter:
		return logFilters(f.OrFilter.GetFilters(), false)
	default:
		return nil, fieldcheck.Refuse("", "is of a kind that is not supported")
	}
}

func logFilters(list []*accesslogv3.AccessLogFilter, all bool) (logCondition, error) {
	var each []logCondition
	for _, f := range list {
		one, err := logFilter(f)
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

func comparison(m *accesslogv3.ComparisonFilter) func(int64) bool {
	want := int64(m.GetValue().GetDefaultValue())
	switch m.GetOp() {
	case accesslogv3.ComparisonFilter_GE:
		return func(v int64) bool { return v >= want }
	case accesslogv3.ComparisonFilter_LE:
		return func(v int64) bool { return v <= want }
	case accesslogv3.ComparisonFilter_NE:
		return func(v int64) bool { return v != want }
	default:
		return func(v int64) bool { return v == want }
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
