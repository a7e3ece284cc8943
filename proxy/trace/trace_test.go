package trace

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

func asked(fields ...string) *stream.Request {
	req := &stream.Request{Method: "GET", Scheme: "http", Authority: "shop", Path: "/cart", Conn: &stream.Conn{}, Info: &stream.Info{Start: time.Now()}}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

const (
	traceText = "80f198ee56343ba864fe8b2a57d3eff7"
	spanText  = "e457b5a2e4d86bd1"
)

// What comes is gone on with, whatever form it has.
func TestContextGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		how     Propagation
		fields  []string
		sampled bool
	}{
		"B3":                  {B3, []string{"x-b3-traceid", traceText, "x-b3-spanid", spanText, "x-b3-sampled", "1"}, true},
		"B3, not kept":        {B3, []string{"x-b3-traceid", traceText, "x-b3-spanid", spanText, "x-b3-sampled", "0"}, false},
		"B3 in one":           {B3, []string{"b3", traceText + "-" + spanText + "-1"}, true},
		"W3C":                 {W3C, []string{"traceparent", "00-" + traceText + "-" + spanText + "-01"}, true},
		"W3C, not kept":       {W3C, []string{"traceparent", "00-" + traceText + "-" + spanText + "-00"}, false},
		"either, by W3C":      {Both, []string{"traceparent", "00-" + traceText + "-" + spanText + "-01"}, true},
		"either, B3 is first": {Both, []string{"x-b3-traceid", traceText, "x-b3-spanid", spanText, "x-b3-sampled", "1", "traceparent", "00-11111111111111111111111111111111-2222222222222222-00"}, true},
	} {
		req := asked(tc.fields...)
		New(Config{Propagation: tc.how, Overall: 1_000_000}).Start(req)
		got := req.Info.Trace
		if hex.EncodeToString(got.ID[:]) != traceText || hex.EncodeToString(got.Parent[:]) != spanText || got.Span == got.Parent || got.Sampled != tc.sampled {
			t.Errorf("%s: got %+v", name, got)
		}
		span := hex.EncodeToString(got.Span[:])
		if tc.how != W3C && (req.Header.Get("x-b3-spanid") != span || req.Header.Get("x-b3-parentspanid") != spanText) {
			t.Errorf("%s: the upstream is told %q of %q", name, req.Header.Get("x-b3-spanid"), req.Header.Get("x-b3-parentspanid"))
		}
		if tc.how != B3 && req.Header.Get("traceparent")[36:52] != span {
			t.Errorf("%s: the upstream is told %q", name, req.Header.Get("traceparent"))
		}
	}
}

// What is no context begins a trace.
func TestBrokenContext(t *testing.T) {
	for _, fields := range [][]string{{}, {"traceparent", "00-x-y-01"}, {"traceparent", "ff-" + traceText + "-" + spanText + "-01"}, {"traceparent", "00-00000000000000000000000000000000-" + spanText + "-01"}, {"x-b3-traceid", "1", "x-b3-spanid", "2"}} {
		req := asked(fields...)
		New(Config{Propagation: Both, Random: 1_000_000, Overall: 1_000_000}).Start(req)
		if got := req.Info.Trace; got.ID == [16]byte{} || got.Parent != [8]byte{} || !got.Sampled {
			t.Errorf("%q: got %+v", fields, got)
		}
	}
}

func TestSharedSpan(t *testing.T) {
	req := asked("x-b3-traceid", traceText, "x-b3-spanid", spanText, "x-b3-parentspanid", "1111111111111111", "x-b3-sampled", "1")
	New(Config{Shared: true, Server: true}).Start(req)
	if got := req.Info.Trace; hex.EncodeToString(got.Span[:]) != spanText || hex.EncodeToString(got.Parent[:]) != "1111111111111111" || !got.Joined {
		t.Errorf("got %+v", got)
	}
}

func TestSampling(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    Config
		fields []string
		want   bool
	}{
		"all":            {Config{Random: 1_000_000, Overall: 1_000_000}, nil, true},
		"none":           {Config{Overall: 1_000_000}, nil, false},
		"overall":        {Config{Random: 1_000_000}, nil, false},
		"client asks":    {Config{Client: 1_000_000, Overall: 1_000_000}, []string{"x-client-trace-id", "a"}, true},
		"decided before": {Config{}, []string{"x-b3-sampled", "1"}, true},
		"decided not to": {Config{Random: 1_000_000, Overall: 1_000_000}, []string{"x-b3-sampled", "0"}, false},
	} {
		req := asked(tc.fields...)
		New(tc.cfg).Start(req)
		if req.Info.Trace.Sampled != tc.want || (req.Header.Get("x-b3-sampled") == "1") != tc.want {
			t.Errorf("%s: sampled %v, told %q", name, req.Info.Trace.Sampled, req.Header.Get("x-b3-sampled"))
		}
	}
}

// collector keeps what it is sent.
type collector struct {
	mu     sync.Mutex
	bodies [][]byte
	paths  []string
}

func (c *collector) Handle(req *stream.Request) (*stream.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, append([]byte(nil), req.Body.Buffered()...))
	c.paths = append(c.paths, req.Path)
	return &stream.Response{Status: 202}, nil
}

// Spans are sent together, without the request waiting, and say what happened.
func TestSpansAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c collector
		call := &upcall.Caller{Handler: &c, Authority: "zipkin"}
		report := func(send func([]Span) error, cfg Config) {
			cfg.Random, cfg.Overall, cfg.Reporter = 1_000_000, 1_000_000, &upcall.Reporter[Span]{Send: send, Failed: func(err error) { t.Error(err) }}
			tracer := New(cfg)
			for range 3 {
				req := asked("x-request-id", "r1")
				tracer.Start(req)
				req.Info.Status, req.Info.Cluster, req.Info.Operation, req.Info.End = 503, "up", "shop:80/*", time.Now().Add(time.Second)
				tracer.Request(req, nil)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		report(Zipkin(call, "/api/v2/spans", "cart.shop"), Config{Tags: []stream.Tag{{Name: "own", Value: func(*stream.Request, *stream.Response) string { return "tag" }}}})
		var spans []zipkinSpan
		if len(c.bodies) != 1 || c.paths[0] != "/api/v2/spans" || json.Unmarshal(c.bodies[0], &spans) != nil || len(spans) != 3 {
			t.Fatalf("%d reports, %d spans", len(c.bodies), len(spans))
		}
		s := spans[0]
		if s.Name != "shop:80/*" || s.Kind != "CLIENT" || s.Duration != 1_000_000 || s.Local["serviceName"] != "cart.shop" || s.Tags["http.status_code"] != "503" || s.Tags["error"] != "true" || s.Tags["own"] != "tag" || s.Tags["guid:x-request-id"] != "r1" {
			t.Errorf("got %+v", s)
		}
		report(OTLPHTTP(call, "/v1/traces", "cart.shop"), Config{Propagation: W3C, Server: true})
		var out collectorv1.ExportTraceServiceRequest
		if len(c.bodies) != 2 || proto.Unmarshal(c.bodies[1], &out) != nil {
			t.Fatal("no report")
		}
		span := out.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]
		if span.GetName() != "shop:80/*" || span.GetKind().String() != "SPAN_KIND_SERVER" || span.GetStatus().GetCode().String() != "STATUS_CODE_ERROR" || len(span.GetTraceId()) != 16 {
			t.Errorf("got %v", span)
		}
	})
}

// A gRPC call's outcome is in its span, and an error where it is the upstream's
// fault.
func TestSpansOfGRPC(t *testing.T) {
	tracer := New(Config{MaxPath: 256, Random: 1_000_000, Overall: 1_000_000})
	for status, failed := range map[string]bool{"0": false, "5": false, "14": true} {
		req, resp := asked("content-type", "application/grpc", "grpc-timeout", "1S"), &stream.Response{Status: 200}
		resp.Header.Add("grpc-status", status)
		resp.Header.Add("grpc-message", "why")
		req.Info.Status = 200
		s := tracer.span(req, resp)
		tags := map[string]string{}
		for _, tag := range s.Tags {
			tags[tag[0]] = tag[1]
		}
		if s.Error != failed || tags["grpc.status_code"] != status || tags["grpc.message"] != "why" || tags["grpc.timeout"] != "1S" || tags["grpc.content_type"] != "application/grpc" {
			t.Errorf("status %s: error %v, %v", status, s.Error, tags)
		}
	}
}

// "Maximum length of the request path to extract and include in the HttpUrl tag":
// also none of it.
func TestPathsAreShortened(t *testing.T) {
	for most, want := range map[int]int{0: 256, -1: 0, 7: 7} {
		req := asked()
		req.Path = "/" + strings.Repeat("x", 300)
		for _, tag := range New(Config{MaxPath: most}).span(req, nil).Tags {
			if tag[0] == "http.url" && strings.Count(tag[1], "x")+1 != max(want, 1) {
				t.Errorf("%d: got %s, want %d bytes", most, tag[1], want)
			}
		}
	}
}
