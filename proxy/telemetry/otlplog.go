package telemetry

import (
	"fmt"
	"slices"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// OTLPLog is a log that an OpenTelemetry collector keeps.
type OTLPLog struct {
	Collector
	// Path is where records are posted; empty calls the collector by gRPC.
	Path string
	// Resource are facts about the proxy, for all records.
	Resource []*commonv1.KeyValue
	// Body and Attributes make a record: their texts are formats.
	Body       *commonv1.AnyValue
	Attributes []*commonv1.KeyValue
	Tags       []stream.Tag
}

const otlpMethod = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

// Observer makes what observes requests and connections.
func (l OTLPLog) Observer() (stream.Observer, error) {
	o := &otlpLog{OTLPLog: l}
	var err error
	if o.body, err = otlpValue(l.Body); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if o.attributes, err = otlpPairs(l.Attributes); err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	o.records = reporterOf(&l.Collector, o.send)
	return &log{filter: l.Filter, entry: o.add}, nil
}

type otlpLog struct {
	OTLPLog
	body       func(*record) *commonv1.AnyValue
	attributes func(*record) []*commonv1.KeyValue
	records    *upcall.Reporter[*logsv1.LogRecord]
}

func (l *otlpLog) send(list []*logsv1.LogRecord) error {
	m := &collectorv1.ExportLogsServiceRequest{ResourceLogs: []*logsv1.ResourceLogs{{
		Resource: &resourcev1.Resource{Attributes: l.Resource}, ScopeLogs: []*logsv1.ScopeLogs{{LogRecords: list}},
	}}}
	if l.Path == "" {
		return l.Caller.Unary(nil, otlpMethod, m, nil)
	}
	body, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return l.Caller.Post(l.Path, "application/x-protobuf", body)
}

// add makes an entry.
func (l *otlpLog) add(req *stream.Request, resp *stream.Response) {
	r := &record{req: req, resp: resp}
	i := req.Info
	out := &logsv1.LogRecord{TimeUnixNano: uint64(i.Start.UnixNano()), Body: l.body(r), Attributes: l.attributes(r)}
	for _, t := range l.Tags {
		if value := t.Value(req, resp); value != "" {
			out.Attributes = append(out.Attributes, OTLPText(t.Name, value))
		}
	}
	if i.Trace.ID != [16]byte{} {
		out.TraceId, out.SpanId = slices.Clone(i.Trace.ID[:]), slices.Clone(i.Trace.Span[:])
	}
	l.records.Add(out)
}

// OTLPText is an attribute.
func OTLPText(key, value string) *commonv1.KeyValue {
	return &commonv1.KeyValue{Key: key, Value: otlpText(value)}
}

func otlpText(value string) *commonv1.AnyValue {
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: valid(value)}}
}

// otlpValue compiles a value whose texts are formats; nil for none.
func otlpValue(v *commonv1.AnyValue) (func(*record) *commonv1.AnyValue, error) {
	switch k := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		f, err := compileFormat(k.StringValue, false)
		return func(r *record) *commonv1.AnyValue { return otlpText(string(f.appendTo(nil, r))) }, err
	case *commonv1.AnyValue_ArrayValue:
		var each []func(*record) *commonv1.AnyValue
		for _, v := range k.ArrayValue.GetValues() {
			one, err := otlpValue(v)
			if err != nil {
				return nil, err
			}
			each = append(each, one)
		}
		return func(r *record) *commonv1.AnyValue {
			list := &commonv1.ArrayValue{}
			for _, one := range each {
				list.Values = append(list.Values, one(r))
			}
			return &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: list}}
		}, nil
	case *commonv1.AnyValue_KvlistValue:
		pairs, err := otlpPairs(k.KvlistValue.GetValues())
		return func(r *record) *commonv1.AnyValue {
			return &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{Values: pairs(r)}}}
		}, err
	}
	return func(*record) *commonv1.AnyValue { return v }, nil // says the same of every request
}

func otlpPairs(list []*commonv1.KeyValue) (func(*record) []*commonv1.KeyValue, error) {
	values := make([]func(*record) *commonv1.AnyValue, len(list))
	for i, pair := range list {
		var err error
		if values[i], err = otlpValue(pair.GetValue()); err != nil {
			return nil, fmt.Errorf("%s: %w", pair.GetKey(), err)
		}
	}
	return func(r *record) []*commonv1.KeyValue {
		out := make([]*commonv1.KeyValue, len(list), len(list)+1)
		for i, pair := range list {
			out[i] = &commonv1.KeyValue{Key: pair.GetKey(), Value: values[i](r)}
		}
		return out
	}, nil
}
