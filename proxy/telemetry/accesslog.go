package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Format says what is written.
type Format struct {
	// Text is the format of a line with its end; a log's that is empty is Envoy's
	// default unless JSON is set.
	Text string
	// JSON maps keys to formats, nested as it likes.
	JSON *structpb.Struct
	// OmitEmpty leaves out operators without a value.
	OmitEmpty bool
}

// AccessLog says where lines go and what is in them.
type AccessLog struct {
	// Path is a file's path; /dev/stdout and /dev/stderr are the process's own.
	Path string
	Format
	// Filter chooses what is logged; nil is everything. Response is nil for byte
	// streams.
	Filter func(*stream.Request, *stream.Response) bool
}

// envoyDefault is the line that Envoy writes when nobody gives a format.
const envoyDefault = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"

// log makes an entry of each request or byte stream that is over.
type log struct {
	stream.RequestsOnly
	filter func(*stream.Request, *stream.Response) bool // nil is everything
	// entry makes one; the response is nil for byte streams, whose request has the
	// facts of the connection alone.
	entry func(*stream.Request, *stream.Response)
}

// Request implements [stream.Observer].
func (l *log) Request(req *stream.Request, resp *stream.Response) {
	if l.filter == nil || l.filter(req, resp) {
		l.entry(req, resp)
	}
}

// Closed implements [stream.Observer].
func (l *log) Closed(tcp *stream.TCP) {
	l.Request(&stream.Request{Conn: tcp.Conn, Info: tcp.Info}, nil)
}

var _ stream.Observer = (*log)(nil)

// lineOf compiles what a line looks like.
func lineOf(cfg AccessLog) (func([]byte, *record) []byte, error) {
	if cfg.JSON != nil {
		return jsonLine(cfg.JSON, cfg.OmitEmpty)
	}
	text := cfg.Text
	if text == "" {
		text = envoyDefault
	}
	f, err := compileFormat(text, cfg.OmitEmpty)
	if err != nil {
		return nil, err
	}
	return f.appendTo, nil
}

// jsonLine compiles an object: keys in order, each with a format.
func jsonLine(s *structpb.Struct, omitEmpty bool) (func([]byte, *record) []byte, error) {
	object, err := jsonObject(s, omitEmpty)
	if err != nil {
		return nil, err
	}
	return func(b []byte, r *record) []byte {
		return append(object(b, r), '\n')
	}, nil
}

type appender = func([]byte, *record) []byte

func jsonObject(s *structpb.Struct, omitEmpty bool) (appender, error) {
	keys := make([]string, 0, len(s.GetFields()))
	for k := range s.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	type member struct {
		name  []byte
		value func([]byte, *record) ([]byte, bool)
	}
	var members []member
	for _, k := range keys {
		value, err := jsonValue(s.GetFields()[k], omitEmpty)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		members = append(members, member{append(quote(nil, []byte(k)), ':'), value})
	}
	return func(b []byte, r *record) []byte {
		b = append(b, '{')
		first := true
		for i := range members {
			before := len(b)
			if !first {
				b = append(b, ',')
			}
			b = append(b, members[i].name...)
			var ok bool
			if b, ok = members[i].value(b, r); !ok && omitEmpty {
				b = b[:before]
				continue
			}
			first = false
		}
		return append(b, '}')
	}, nil
}

// jsonValue compiles one value. A format that is one operator for a number is
// written as a number, as Envoy does.
func jsonValue(v *structpb.Value, omitEmpty bool) (func([]byte, *record) ([]byte, bool), error) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StructValue:
		object, err := jsonObject(k.StructValue, omitEmpty)
		return func(b []byte, r *record) ([]byte, bool) { return object(b, r), true }, err
	case *structpb.Value_StringValue:
		f, err := compileFormat(k.StringValue, omitEmpty)
		if err != nil {
			return nil, err
		}
		if len(f.pieces) == 1 && f.pieces[0].op.write != nil {
			return jsonOperator(f.pieces[0].op), nil
		}
		return func(b []byte, r *record) ([]byte, bool) { return quote(b, f.appendTo(nil, r)), true }, nil
	}
	literal, err := json.Marshal(v.AsInterface())
	return func(b []byte, _ *record) ([]byte, bool) { return append(b, literal...), true }, err
}

func jsonOperator(op operator) func([]byte, *record) ([]byte, bool) {
	return func(b []byte, r *record) ([]byte, bool) {
		if op.json != nil {
			value, ok := op.json(nil, r)
			if !ok {
				value = []byte("null")
			}
			return append(b, value...), ok
		}
		value, ok := op.write(nil, r)
		if !ok {
			return append(b, "null"...), false
		}
		return op.appendJSON(b, value), true
	}
}

// appendJSON writes as JSON what the operator has written.
func (op *operator) appendJSON(b, value []byte) []byte {
	if op.number && len(value) > 0 {
		return append(b, value...)
	}
	return quote(b, value)
}

// quote writes a JSON string.
func quote(b, value []byte) []byte {
	quoted, err := json.Marshal(string(value))
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// Run writes gathered lines every interval until ctx ends, and the rest then.
func (t *Telemetry) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.Flush()
			return nil
		case <-tick.C:
			t.Flush()
		}
	}
}

// Flush writes all gathered lines.
func (t *Telemetry) Flush() { t.eachSink((*sink).flush) }

// Reopen opens all log files anew, for log rotation.
func (t *Telemetry) Reopen() { t.eachSink((*sink).reopen) }

// eachSink does something with all files. One that nobody writes to any more is
// closed, with all its lines.
func (t *Telemetry) eachSink(do func(*sink)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for path, k := range t.sinks {
		if k.writers.Value() != nil {
			do(k.sink)
			continue
		}
		k.sink.reopen()
		delete(t.sinks, path)
	}
}
