package trace

import (
	"encoding/json"
	"strings"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Zipkin sends spans in Zipkin's JSON, version 2.
func Zipkin(c *upcall.Caller, path, service string) func([]Span) error {
	return func(spans []Span) error {
		list := make([]zipkinSpan, 0, len(spans))
		for i := range spans {
			list = append(list, zipkin(&spans[i], service))
		}
		body, err := json.Marshal(list)
		if err != nil {
			return err
		}
		return c.Post(path, "application/json", body)
	}
}

type zipkinSpan struct {
	TraceID   string            `json:"traceId"`
	ID        string            `json:"id"`
	ParentID  string            `json:"parentId,omitempty"`
	Name      string            `json:"name"`
	Kind      string            `json:"kind"`
	Timestamp int64             `json:"timestamp"` // microseconds
	Duration  int64             `json:"duration"`
	Shared    bool              `json:"shared,omitempty"`
	Local     map[string]string `json:"localEndpoint"`
	Tags      map[string]string `json:"tags"`
}

func zipkin(s *Span, service string) zipkinSpan {
	out := zipkinSpan{
		TraceID: text(s.ID[:]), ID: text(s.Span[:]), Name: s.Name, Kind: "CLIENT", Timestamp: s.Start.UnixMicro(), Duration: max(1, s.End.Sub(s.Start).Microseconds()),
		Shared: s.Joined, Local: map[string]string{"serviceName": service}, Tags: map[string]string{},
	}
	if s.Short {
		out.TraceID = out.TraceID[16:]
	}
	if s.Parent != [8]byte{} {
		out.ParentID = text(s.Parent[:])
	}
	if s.Server {
		out.Kind = "SERVER"
	}
	for _, t := range s.Tags {
		out.Tags[t[0]] = t[1]
	}
	return out
}

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// OTLP sends spans in OpenTelemetry's protocol, by gRPC.
func OTLP(c *upcall.Caller, service string) func([]Span) error {
	return func(spans []Span) error {
		return c.Unary(nil, exportMethod, export(spans, service), &collectorv1.ExportTraceServiceResponse{})
	}
}

// OTLPHTTP sends spans in OpenTelemetry's protocol, by HTTP.
func OTLPHTTP(c *upcall.Caller, path, service string) func([]Span) error {
	return func(spans []Span) error {
		body, err := proto.Marshal(export(spans, service))
		if err != nil {
			return err
		}
		return c.Post(path, "application/x-protobuf", body)
	}
}

func export(spans []Span, service string) *collectorv1.ExportTraceServiceRequest {
	scope := &tracev1.ScopeSpans{}
	for i := range spans {
		scope.Spans = append(scope.Spans, otlp(&spans[i]))
	}
	return &collectorv1.ExportTraceServiceRequest{ResourceSpans: []*tracev1.ResourceSpans{{
		Resource: &resourcev1.Resource{Attributes: []*commonv1.KeyValue{attribute("service.name", service)}}, ScopeSpans: []*tracev1.ScopeSpans{scope},
	}}}
}

func otlp(s *Span) *tracev1.Span {
	out := &tracev1.Span{
		TraceId: s.ID[:], SpanId: s.Span[:], Name: strings.ToValidUTF8(s.Name, "?"), Kind: tracev1.Span_SPAN_KIND_CLIENT,
		StartTimeUnixNano: uint64(s.Start.UnixNano()), EndTimeUnixNano: uint64(s.End.UnixNano()),
	}
	if s.Parent != [8]byte{} {
		out.ParentSpanId = s.Parent[:]
	}
	if s.Server {
		out.Kind = tracev1.Span_SPAN_KIND_SERVER
	}
	if s.Error {
		out.Status = &tracev1.Status{Code: tracev1.Status_STATUS_CODE_ERROR}
	}
	for _, t := range s.Tags {
		out.Attributes = append(out.Attributes, attribute(t[0], t[1]))
	}
	return out
}

func attribute(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, "?")}}}
}
