package telemetry

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// service keeps the bodies that it is sent, and answers as told.
type service struct {
	mu     sync.Mutex
	paths  []string
	bodies [][]byte
	status int
}

func (s *service) Handle(req *stream.Request) (*stream.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths, s.bodies = append(s.paths, req.Path), append(s.bodies, append([]byte(nil), req.Body.Buffered()...))
	resp := &stream.Response{Status: s.status}
	resp.Header.Add("grpc-status", "0")
	return resp, nil
}

func value(s string) *commonv1.AnyValue {
	return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: s}}
}

func TestGRPCLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{status: 200}
		log := GRPCLog{Name: "web", RequestHeaders: []string{"user-agent"}, FilterStates: []string{"own"}, Tags: []stream.Tag{{Name: "tag", Value: func(*stream.Request, *stream.Response) string { return "x" }}}}
		log.Caller = &upcall.Caller{Handler: s}
		log.Failed = func(err error) { t.Error(err) }
		log.Filter = func(req *stream.Request, _ *stream.Response) bool { return req.Info.Status != 404 }
		o := log.Observer()
		req, resp := sample()
		req.Header.Set("user-agent", "cu\xffrl")
		req.Info.Flags, req.Info.State = stream.UpstreamFailure|stream.Unauthorized, map[string]string{"own": "state"}
		o.Request(req, resp)
		req.Info.Status = 404
		o.Request(req, resp) // is not chosen
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var m alsv3.StreamAccessLogsMessage
		if len(s.bodies) != 1 || s.paths[0] != logMethod || proto.Unmarshal(s.bodies[0][5:], &m) != nil {
			t.Fatalf("%d calls to %v", len(s.bodies), s.paths)
		}
		if m.GetIdentifier().GetLogName() != "web" || len(m.GetHttpLogs().GetLogEntry()) != 1 {
			t.Fatalf("got %v", &m)
		}
		e := m.GetHttpLogs().GetLogEntry()[0]
		c := e.GetCommonProperties()
		if e.GetRequest().GetPath() != req.Path || e.GetRequest().GetRequestHeaders()["user-agent"] != "cu?rl" || e.GetProtocolVersion() != datav3.HTTPAccessLogEntry_HTTP11 ||
			c.GetUpstreamCluster() != "inbound|9080||" || !c.GetResponseFlags().GetUpstreamConnectionFailure() || c.GetResponseFlags().GetUnauthorizedDetails() == nil ||
			c.GetCustomTags()["tag"] != "x" || c.GetFilterStateObjects()["own"] == nil || c.GetUpstreamRemoteAddress().GetSocketAddress().GetPortValue() != 9080 {
			t.Errorf("got %v", e)
		}
	})
}

func TestGRPCLogOfByteStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{status: 200}
		log := GRPCLog{TCP: true, Collector: Collector{Caller: &upcall.Caller{Handler: s}}}
		tls := &stream.TLS{SNI: "db", Version: 0x0304, URISANs: []string{"spiffe://a"}, LocalURI: "spiffe://b", Subject: "CN=a"}
		log.Observer().Closed(&stream.TCP{Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.9:99"), TLS: tls}, Info: &stream.Info{BytesReceived: 3, BytesSent: 5, Start: time.Now()}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		var m alsv3.StreamAccessLogsMessage
		if len(s.bodies) != 1 || proto.Unmarshal(s.bodies[0][5:], &m) != nil || len(m.GetTcpLogs().GetLogEntry()) != 1 {
			t.Fatalf("%d calls: %v", len(s.bodies), &m)
		}
		e := m.GetTcpLogs().GetLogEntry()[0]
		p := e.GetCommonProperties().GetTlsProperties()
		if e.GetConnectionProperties().GetReceivedBytes() != 3 || e.GetConnectionProperties().GetSentBytes() != 5 || p.GetTlsVersion() != datav3.TLSProperties_TLSv1_3 ||
			p.GetPeerCertificateProperties().GetSubjectAltName()[0].GetUri() != "spiffe://a" || p.GetLocalCertificateProperties().GetSubjectAltName()[0].GetUri() != "spiffe://b" {
			t.Errorf("got %v", e)
		}
	})
}

func TestOTLPLog(t *testing.T) {
	for _, path := range []string{"", "/v1/logs"} {
		synctest.Test(t, func(t *testing.T) {
			s := &service{status: 200}
			log := OTLPLog{
				Path: path, Collector: Collector{Caller: &upcall.Caller{Handler: s}}, Resource: []*commonv1.KeyValue{OTLPText("log_name", "web")},
				Body:       &commonv1.AnyValue{Value: &commonv1.AnyValue_KvlistValue{KvlistValue: &commonv1.KeyValueList{Values: []*commonv1.KeyValue{{Key: "method", Value: value("%REQ(:METHOD)%")}}}}},
				Attributes: []*commonv1.KeyValue{{Key: "fixed", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_IntValue{IntValue: 7}}}},
			}
			o, err := log.Observer()
			if err != nil {
				t.Fatal(err)
			}
			req, resp := sample()
			req.Info.Trace.ID, req.Info.Trace.Span = [16]byte{1}, [8]byte{2}
			o.Request(req, resp)
			o.Closed(&stream.TCP{Conn: req.Conn, Info: req.Info})
			time.Sleep(2 * time.Second)
			synctest.Wait()
			var m collectorv1.ExportLogsServiceRequest
			body := s.bodies[0]
			if path == "" {
				body = body[5:]
			}
			if want := map[bool]string{true: otlpMethod, false: path}[path == ""]; len(s.bodies) != 1 || s.paths[0] != want || proto.Unmarshal(body, &m) != nil {
				t.Fatalf("%d calls to %v", len(s.bodies), s.paths)
			}
			r := m.GetResourceLogs()[0]
			records := r.GetScopeLogs()[0].GetLogRecords()
			if r.GetResource().GetAttributes()[0].GetValue().GetStringValue() != "web" || len(records) != 2 || records[0].GetBody().GetKvlistValue().GetValues()[0].GetValue().GetStringValue() != req.Method ||
				records[0].GetAttributes()[0].GetValue().GetIntValue() != 7 || records[0].GetTraceId()[0] != 1 || records[0].GetSpanId()[0] != 2 {
				t.Errorf("got %v", &m)
			}
		})
	}
	if _, err := (OTLPLog{Body: value("%NOPE%")}).Observer(); err == nil || !strings.Contains(err.Error(), "body") {
		t.Errorf("a wrong format: %v", err)
	}
}

// A collector that refuses is told of, by name of what it answered.
func TestCollectorFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		log := OTLPLog{Path: "/v1/logs", Collector: Collector{Caller: &upcall.Caller{Handler: &service{status: 503}}, Failed: func(err error) { told = append(told, err.Error()) }}}
		o, err := log.Observer()
		if err != nil {
			t.Fatal(err)
		}
		req, resp := sample()
		o.Request(req, resp)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(told) != 1 || !strings.Contains(told[0], "answered 503") {
			t.Errorf("told %q", told)
		}
	})
}
