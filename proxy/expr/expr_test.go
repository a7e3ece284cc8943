package expr

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

func exchange() (*stream.Request, *stream.Response) {
	start := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	req := &stream.Request{
		Method: "GET", Scheme: "https", Authority: "shop.example:443", Path: "/cart?item=7",
		Conn: &stream.Conn{ID: 9, Local: netip.MustParseAddrPort("10.0.0.1:8080"), Remote: netip.MustParseAddrPort("10.0.0.2:5000"), TLS: &stream.TLS{SNI: "shop.example", URISANs: []string{"spiffe://a/ns/b/sa/c"}, Version: 0x0304}},
		Info: &stream.Info{
			Start: start, End: start.Add(1500 * time.Millisecond), Status: 503, Flags: stream.NoHealthyUpstream | stream.RetryLimit, Details: "no_healthy_upstream", Cluster: "outbound|80||b",
			BytesReceived: 5, HeadReceived: 100, Attempts: 3, UpstreamPeer: &stream.Peer{Namespace: "shop", App: "cart", Version: "v2"}, State: map[string]string{"own": "x"},
		},
	}
	req.Header.Add("User-Agent", "curl")
	req.Header.Add("X-A", "1")
	req.Header.Add("x-a", "2")
	req.Info.Metadata.Set("ns", "key", map[string]any{"deep": "value"})
	resp := &stream.Response{Status: 503}
	resp.Header.Add("grpc-status", "14")
	return req, resp
}

func TestText(t *testing.T) {
	req, resp := exchange()
	for text, want := range map[string]string{
		`request.path`:                                  "/cart?item=7",
		`request.url_path`:                              "/cart",
		`request.query`:                                 "item=7",
		`request.host`:                                  "shop.example:443",
		`request.headers['x-a']`:                        "1,2",
		`request.useragent`:                             "curl",
		`request.total_size`:                            "92",
		`request.duration`:                              "1.5s",
		`request.time`:                                  "2026-11-21T10:00:00Z",
		`request.time.getHours()`:                       "10",
		`response.code`:                                 "503",
		`response.code / 100`:                           "5",
		`response.flags`:                                "32770",
		`response.grpc_status`:                          "14",
		`string(destination.port)`:                      "8080",
		`source.address`:                                "10.0.0.2:5000",
		`connection.id`:                                 "9",
		`connection.mtls`:                               "false",
		`connection.requested_server_name`:              "shop.example",
		`connection.tls_version`:                        "TLSv1.3",
		`xds.cluster_name`:                              "outbound|80||b",
		`upstream_peer.namespace`:                       "shop",
		`upstream_peer.labels['app']`:                   "cart",
		`filter_state.upstream_peer.version`:            "v2",
		`filter_state['own']`:                           "x",
		`metadata.filter_metadata['ns']['key']['deep']`: "value",
		`request.method == 'GET' ? 'read' : 'write'`:    "read",
		`request.host.split(':')[0]`:                    "shop.example",
		`request.path.matches('^/cart') && response.code >= 500`:                 "true",
		`'x-b' in request.headers ? request.headers['x-b'] : 'none'`:             "none",
		`connection.uri_san_peer_certificate.startsWith('spiffe://a/')`:          "true",
		`upstream.request_attempt_count > 1 ? 'retried' : 'first'`:               "retried",
		`response.code_details + '/' + string(size(request.headers['x-a']) + 1)`: "no_healthy_upstream/4",
		// What is not there has no text.
		`request.headers['x-b']`:               "",
		`request.referer`:                      "",
		`downstream_peer.name`:                 "",
		`upstream.address`:                     "",
		`connection.dns_san_peer_certificate`:  "",
		`request.headers`:                      "",
		`connection.subject_peer_certificate`:  "",
		`metadata.filter_metadata['x']['y']`:   "",
		`filter_state['none']`:                 "",
		`response.trailers['grpc-status']`:     "",
		`upstream.transport_failure_reason`:    "",
		`1 / (response.code - 503)`:            "",
		`connection.termination_details + "x"`: "",
	} {
		p, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, found := p.Text(req, resp); got != want || found != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", text, got, found, want)
		}
	}
}

func TestConditions(t *testing.T) {
	req, resp := exchange()
	for text, want := range map[string]bool{
		`response.code >= 500`: true, `response.code == 200`: false, `request.headers['none'] == 'x'`: false,
		`request.headers['none'] == 'x' || request.method == 'GET'`: true, `filter_state['own'] == 'x'`: true,
	} {
		p, err := Condition(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Holds(req, resp); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	// A byte stream has neither request nor response.
	stream := &stream.Request{Conn: req.Conn, Info: &stream.Info{}}
	p, _ := Condition(`request.method == ''`)
	if p.Holds(stream, nil) {
		t.Error("a byte stream has a method")
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		`request.pth`:         "undeclared reference",
		`response.code + 'a`:  "Syntax error",
		`response.code > 'a'`: "no matching overload",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Condition(`response.code`); err == nil || !strings.Contains(err.Error(), "is no condition") {
		t.Errorf("a number as a condition: %v", err)
	}
}

func BenchmarkCondition(b *testing.B) {
	req, resp := exchange()
	p, err := Condition(`response.code >= 400 && request.method == 'GET'`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Holds(req, resp)
	}
}
