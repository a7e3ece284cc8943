package telemetry

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// istioDefault is the line that Istio configures.
const istioDefault = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%
`

func sample() (*stream.Request, *stream.Response) {
	start := time.Date(2026, 11, 20, 22, 0, 0, 123e6, time.UTC)
	req := &stream.Request{Method: "GET", Path: "/details/0?x=1", Authority: "details:9080", Scheme: "http",
		Conn: &stream.Conn{Original: netip.MustParseAddrPort("10.0.0.2:9080"), Remote: netip.MustParseAddrPort("10.0.0.1:4000")},
		Info: &stream.Info{Start: start, End: start.Add(7 * time.Millisecond), Status: 200, Details: "via_upstream", BytesSent: 178,
			Cluster: "inbound|9080||", Upstream: netip.MustParseAddrPort("10.0.0.2:9080"), UpstreamLocal: netip.MustParseAddrPort("127.0.0.6:5000"),
			Route: "default", HeadReceived: 300, HeadSent: 150, DownstreamBytes: stream.Meter{Sent: 328}, UpstreamBytes: stream.Meter{PlainReceived: 77}}}
	req.Header.Add("User-Agent", "curl/8")
	resp := &stream.Response{Status: 200}
	resp.Header.Add("x-envoy-upstream-service-time", "6")
	return req, resp
}

// call makes a request one of gRPC.
func call(req *stream.Request) { req.Header.Set("content-type", "application/grpc") }

func TestIstiosDefaultLine(t *testing.T) {
	var out bytes.Buffer
	tel := New(Config{Stdout: &out})
	o, err := tel.AccessLog(AccessLog{Path: "/dev/stdout", Format: Format{Text: istioDefault}})
	if err != nil {
		t.Fatal(err)
	}
	o.Request(sample())
	tel.Flush()
	want := `[2026-11-20T22:00:00.123Z] "GET /details/0?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 178 7 6 "-" "curl/8" "-" "details:9080" "10.0.0.2:9080" inbound|9080|| 127.0.0.6:5000 10.0.0.2:9080 10.0.0.1:4000 - default` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// What is an object among a connection's state is written as one, and by its fields.
func TestStateThatIsAnObject(t *testing.T) {
	req, resp := sample()
	req.Conn.Fields = map[string]map[string]string{"tlv": {"vpc": "one"}}
	req.Conn.State = map[string]string{"tlv": `{"vpc":"one"}`, "text": "a"}
	format, err := New(Config{}).Format("%FILTER_STATE(tlv)% %FILTER_STATE(tlv:PLAIN)% %FILTER_STATE(tlv:FIELD:vpc)% %FILTER_STATE(tlv:FIELD:none)% %FILTER_STATE(text)% %FILTER_STATE(text:FIELD:vpc)%")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := format(req, resp), `{"vpc":"one"} {"vpc":"one"} one  "a" `; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestJSONLine(t *testing.T) {
	var out bytes.Buffer
	tel := New(Config{Stdout: &out})
	fields, err := structpb.NewStruct(map[string]any{"code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "path": "%REQ(:PATH):4%", "both": "%PROTOCOL% %REQ(:METHOD)%", "in": map[string]any{"ua": "%REQ(USER-AGENT)%"}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := tel.AccessLog(AccessLog{Path: "/dev/stdout", Format: Format{JSON: fields}})
	if err != nil {
		t.Fatal(err)
	}
	o.Request(sample())
	tel.Flush()
	if got, want := out.String(), `{"both":"HTTP/1.1 GET","code":200,"flags":"-","in":{"ua":"curl/8"},"path":"/det"}`+"\n"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// What is a number is one in JSON, whatever the operator's spelling; what is not there
// is null, and a Unix socket has ports without a number.
func TestNumbersInJSON(t *testing.T) {
	for format, want := range map[string]string{
		"%REQUEST_HEADERS_BYTES%": "78", "%UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED%": "77", "%UPSTREAM_CONNECTION_ID%": "0", "%DOWNSTREAM_WIRE_BYTES_SENT%": "328", "%UPSTREAM_REMOTE_PORT%": "9080", "%UPSTREAM_LOCAL_PORT%": "5000",
		"%DOWNSTREAM_DIRECT_REMOTE_PORT%": "4000", "%GRPC_STATUS_NUMBER%": "7", "%GRPC_STATUS(NUMBER)%": "7", "%GRPC_STATUS%": `"PermissionDenied"`,
		"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%": "7000", "%COMMON_DURATION(US_TX_END:DS_TX_END:us)%": "null", "%DURATION%": "7", "%RESPONSE_CODE:2%": `"20"`, "%DURATION%ms": `"7ms"`,
	} {
		var out bytes.Buffer
		tel := New(Config{Stdout: &out})
		o, err := tel.AccessLog(AccessLog{Path: "/dev/stdout", Format: Format{JSON: &structpb.Struct{Fields: map[string]*structpb.Value{"x": structpb.NewStringValue(format)}}}})
		if err != nil {
			t.Fatal(err)
		}
		req, resp := sample()
		if strings.HasPrefix(format, "%GRPC") {
			call(req)
		}
		resp.Header.Set("grpc-status", "7")
		o.Request(req, resp)
		tel.Flush()
		if got := strings.TrimSuffix(strings.TrimPrefix(out.String(), `{"x":`), "}\n"); got != want {
			t.Errorf("%s: got %s, want %s", format, got, want)
		}
	}
	req, resp := sample()
	req.Conn = &stream.Conn{Path: "/socket"}
	call(req)
	resp.Header.Set("grpc-status", "none")
	for operator, want := range map[string]string{"DOWNSTREAM_LOCAL_PORT": `""`, "GRPC_STATUS_NUMBER": "-1"} {
		if got, _ := jsonOperator(plain[operator])(nil, &record{req: req, resp: resp}); string(got) != want {
			t.Errorf("%s: got %s, want %s", operator, got, want)
		}
	}
}

// A status is a number of JSON, however it was written.
func TestStatusesInJSON(t *testing.T) {
	for status, want := range map[string]string{"7": "7", "07": "7", "00": "0", "99": "99", "-1": "-1", "x": "-1"} {
		req, resp := sample()
		call(req)
		resp.Header.Set("grpc-status", status)
		if got, _ := jsonOperator(grpcNumber)(nil, &record{req: req, resp: resp}); string(got) != want {
			t.Errorf("%q is %s, want %s", status, got, want)
		}
	}
}

// A key is quoted as JSON has it, which knows fewer escapes than Go.
func TestKeysInJSON(t *testing.T) {
	line, err := lineOf(AccessLog{Format: Format{JSON: &structpb.Struct{Fields: map[string]*structpb.Value{"a\x01\"\a": structpb.NewStringValue("b")}}}})
	if err != nil {
		t.Fatal(err)
	}
	req, resp := sample()
	var got map[string]string
	if text := line(nil, &record{req: req, resp: resp}); json.Unmarshal(text, &got) != nil || got["a\x01\"\a"] != "b" {
		t.Errorf("got %s", text)
	}
}

// A serial number has whole bytes.
func TestSerials(t *testing.T) {
	if got := serial(&x509.Certificate{SerialNumber: big.NewInt(0xabc)}); got != "0abc" {
		t.Errorf("got %s", got)
	}
}

func TestFormatMistakesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"%NO_SUCH%":           "%NO_SUCH%",
		"%REQ()%":             "name of a header",
		"%REQ(X":              "closing",
		"%START_TIME(%Q)%":    "%Q",
		"%REQ(A):x%":          "length",
		"%RESPONSE_CODE(X)% ": "RESPONSE_CODE(X)",
	} {
		if _, err := compileFormat(text, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want an error with %q", text, err, want)
		}
	}
	f, err := compileFormat("100%% at %START_TIME(%Y/%m/%d %H:%M:%S.%3f)%", false)
	if err != nil {
		t.Fatal(err)
	}
	req, resp := sample()
	if got := string(f.appendTo(nil, &record{req: req, resp: resp})); got != "100% at 2026/11/20 22:00:00.123" {
		t.Errorf("got %q", got)
	}
}

func TestStandardMetrics(t *testing.T) {
	page := &stream.Peer{Workload: "productpage-v1", Namespace: "default", CanonicalName: "productpage", CanonicalRevision: "v1", App: "productpage", Version: "v1", KubeCluster: "Kubernetes"}
	tel := New(Config{Local: stream.Peer{Workload: "details-v1", Namespace: "default", CanonicalName: "details"}, Version: "dev"})
	o := metricsOf(t, tel, Metrics{})
	req, resp := sample()
	req.Info.DownstreamPeer = page
	req.Info.Destination = &stream.Service{Host: "details.default.svc.cluster.local", Name: "details", Namespace: "default"}
	o.Request(req, resp)
	o.Request(req, resp)
	var out bytes.Buffer
	if err := tel.WritePrometheus(&out); err != nil {
		t.Fatal(err)
	}
	want := `istio_requests_total{reporter="destination",source_workload="productpage-v1",source_canonical_service="productpage",source_canonical_revision="v1",source_workload_namespace="default",source_principal="unknown",source_app="productpage",source_version="v1",source_cluster="Kubernetes",destination_workload="details-v1",destination_workload_namespace="default",destination_principal="unknown",destination_app="unknown",destination_version="unknown",destination_service="details.default.svc.cluster.local",destination_canonical_service="details",destination_canonical_revision="latest",destination_service_name="details",destination_service_namespace="default",destination_cluster="unknown",request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="none"} 2`
	if !strings.Contains(out.String(), want+"\n") {
		t.Errorf("no line\n%s\nin\n%s", want, out.String())
	}
	if !strings.Contains(out.String(), `le="10"} 2`) || !strings.Contains(out.String(), "istio_request_duration_milliseconds_count") {
		t.Errorf("no histogram in\n%s", out.String())
	}
}

func TestObserversAllocateNothing(t *testing.T) {
	tel := New(Config{Stdout: &bytes.Buffer{}})
	log, err := tel.AccessLog(AccessLog{Path: "/dev/null", Format: Format{Text: istioDefault}})
	if err != nil {
		t.Fatal(err)
	}
	metrics := metricsOf(t, tel, Metrics{Source: true})
	req, resp := sample()
	if n := testing.AllocsPerRun(1000, func() {
		metrics.Request(req, resp)
		log.Request(req, resp)
	}); n > 0 {
		t.Errorf("%v allocations a request; want none", n)
	}
}

// What the operators write that are not in Istio's line.
func TestOperators(t *testing.T) {
	req, resp := sample()
	req.Header.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	call(req)
	resp.Header.Add("grpc-status", "14")
	req.Info.Flags = stream.UpstreamFailure | stream.RetryLimit
	req.Conn.TLS = &stream.TLS{SNI: "a.b", URISANs: []string{"spiffe://x/1", "spiffe://x/2"}, Version: 0x0304}
	for text, want := range map[string]string{
		"%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%": "UF,URX UpstreamConnectionFailure,UpstreamRetryLimitExceeded",
		"%GRPC_STATUS% %GRPC_STATUS_NUMBER%":     "Unavailable 14",
		"%GRPC_STATUS(NUMBER)%":                  "14",
		"%GRPC_STATUS(SNAKE_STRING)%":            "UNAVAILABLE",
		"%REQUEST_HEADER(:method):2% %RESPONSE_HEADER(x-none?X-Envoy-Upstream-Service-Time)% %ROUNDTRIP_DURATION%": "GE 6 -",
		"%DOWNSTREAM_PEER_CERT_V_START(%Y)%": "-",
		"%TRACE_ID%":                         "0af7651916cd43dd8448eb211c80319c",
		"%DOWNSTREAM_PEER_URI_SAN% %REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION%": "spiffe://x/1,spiffe://x/2 a.b TLSv1.3",
		"%DOWNSTREAM_PEER_SERIAL% %UPSTREAM_LOCAL_PORT% %START_TIME(%s.%3f)%":        "- 5000 1795212000.123",
		"%REQ(X-NONE?:METHOD):2% %RESP(NONE)% %REQ_WITHOUT_QUERY(:PATH)%":            "GE - /details/0",
		"%REQUEST_DURATION%": "-",
	} {
		f, err := compileFormat(text, false)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := string(f.appendTo(nil, &record{req: req, resp: resp})); got != want {
			t.Errorf("%s: got %q; want %q", text, got, want)
		}
	}
}

// A log file that was moved away is made anew when the log is opened anew.
// The last line of a log that is gone is written though the file is closed meanwhile.
func TestLastLine(t *testing.T) {
	tel := New(Config{})
	plain["SLOW"] = operator{write: func(b []byte, _ *record) ([]byte, bool) {
		runtime.GC()
		tel.Flush()
		return append(b, "last"...), true
	}}
	defer delete(plain, "SLOW")
	path := filepath.Join(t.TempDir(), "log")
	func() {
		o, err := tel.AccessLog(AccessLog{Path: path, Format: Format{Text: "%SLOW%\n"}})
		if err != nil {
			t.Fatal(err)
		}
		o.Request(sample())
	}()
	tel.Flush()
	if text, err := os.ReadFile(path); string(text) != "last\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	tel := New(Config{})
	o, err := tel.AccessLog(AccessLog{Path: path, Format: Format{Text: "%RESPONSE_CODE%\n"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Request(sample())
	tel.Flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	o.Request(sample())
	tel.Reopen()
	o.Request(sample())
	o.Request(sample())
	tel.Flush()
	for name, want := range map[string]string{path + ".1": "200\n200\n", path: "200\n200\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}
