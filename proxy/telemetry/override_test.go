package telemetry

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// samples are the lines of a metric.
func samples(page, name string) []string {
	var found []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, name+"{") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// Overrides change the labels of the metrics that they name, and drop others.
func TestOverrides(t *testing.T) {
	tel := New(Config{})
	o := metricsOf(t, tel, Metrics{Source: true, Overrides: []Override{
		{Labels: map[string]string{"host": "request.host", "none": "request.headers['none']"}},
		{Metric: "requests_total", Labels: map[string]string{"response_code": "string(response.code / 100) + 'xx'", "host": "'all'"}, Remove: []string{"source_app", "grpc_response_status"}},
		{Metric: "request_bytes", Drop: true},
	}})
	for _, status := range []int{200, 204, 503} {
		req, resp := sample()
		req.Info.Status = status
		o.Request(req, resp)
	}
	page := scraped(t, tel)
	got := samples(page, "istio_requests_total")
	if len(got) != 2 || !strings.HasSuffix(got[0], "} 2") || !strings.Contains(got[0], `,response_code="2xx",`) || !strings.Contains(got[1], `,response_code="5xx",`) ||
		!strings.Contains(got[0], `,host="all",none="unknown"}`) || strings.Contains(got[0], "source_app") || strings.Contains(got[0], "grpc_response_status") {
		t.Errorf("requests: %q", got)
	}
	got = samples(page, "istio_request_duration_milliseconds_count")
	if len(got) != 3 || !strings.Contains(got[0], `response_code="200"`) || !strings.Contains(got[0], `host="`) || !strings.Contains(got[0], `source_app="unknown"`) {
		t.Errorf("durations: %q", got)
	}
	if got := samples(page, "istio_request_bytes_count"); len(got) != 0 {
		t.Errorf("dropped, and there: %q", got)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(page) {
		name, _, _ := strings.Cut(line, "} ")
		if seen[name] && !strings.HasPrefix(line, "#") {
			t.Errorf("a sample comes twice: %s", name)
		}
		seen[name] = true
	}
}

// What was counted before a change of overrides stays where it is, and what has
// the same labels is counted there still.
func TestOverridesChange(t *testing.T) {
	tel := New(Config{})
	for _, overrides := range [][]Override{nil, {{Metric: "requests_total", Remove: []string{"source_app"}}}, {{Metric: "requests_total", Remove: []string{"source_app"}}, {Metric: "response_bytes", Drop: true}}} {
		req, resp := sample()
		metricsOf(t, tel, Metrics{Overrides: overrides}).Request(req, resp)
	}
	page := scraped(t, tel)
	if got := samples(page, "istio_requests_total"); len(got) != 2 || !strings.HasSuffix(got[0]+got[1], "} 2") && !strings.HasSuffix(got[0], "} 2") {
		t.Errorf("requests: %q", got)
	}
	if got := samples(page, "istio_request_bytes_count"); len(got) != 1 || !strings.HasSuffix(got[0], "} 3") {
		t.Errorf("request bytes: %q", got)
	}
	if got := samples(page, "istio_response_bytes_count"); len(got) != 1 || !strings.HasSuffix(got[0], "} 2") {
		t.Errorf("response bytes: %q", got)
	}
}

func TestOverridesOfByteStreams(t *testing.T) {
	tel := New(Config{})
	o := metricsOf(t, tel, Metrics{Overrides: []Override{{Metric: "tcp_sent_bytes_total", Labels: map[string]string{"port": "destination.port", "path": "request.path"}}}})
	tcp := &stream.TCP{Conn: &stream.Conn{Local: netip.MustParseAddrPort("10.0.0.1:5432")}, Info: &stream.Info{}}
	o.Opened(tcp)
	o.Progress(tcp, 3, 5)
	o.Closed(tcp)
	page := scraped(t, tel)
	if got := samples(page, "istio_tcp_sent_bytes_total"); len(got) != 1 || !strings.HasSuffix(got[0], `,path="unknown",port="5432"} 5`) {
		t.Errorf("sent: %q", got)
	}
	if got := samples(page, "istio_tcp_received_bytes_total"); len(got) != 1 || strings.Contains(got[0], "port=") || !strings.HasSuffix(got[0], "} 3") {
		t.Errorf("received: %q", got)
	}
	if got := samples(page, "istio_requests_total"); len(got) != 0 {
		t.Errorf("requests: %q", got)
	}
}

func TestMessages(t *testing.T) {
	tel := New(Config{})
	req, resp := sample()
	req.Info.MessagesReceived, req.Info.MessagesSent = 2, 3
	o := metricsOf(t, tel, Metrics{})
	o.Request(req, resp)
	if got := samples(scraped(t, tel), "istio_request_messages_total"); len(got) != 0 {
		t.Errorf("messages of plain HTTP: %q", got)
	}
	req.Header.Add("content-type", "application/grpc")
	o.Request(req, resp)
	page := scraped(t, tel)
	if in, out := samples(page, "istio_request_messages_total"), samples(page, "istio_response_messages_total"); len(in) != 1 || len(out) != 1 || !strings.HasSuffix(in[0], "} 2") || !strings.HasSuffix(out[0], "} 3") {
		t.Errorf("messages: %q, %q", in, out)
	}
}

func TestBadOverrides(t *testing.T) {
	for want, o := range map[string]Override{
		`"requests" is no standard metric`:              {Metric: "requests"},
		`label x: "request.y": undeclared reference`:    {Labels: map[string]string{"x": "request.y"}},
		"undeclared reference to 'istio_responseClass'": {Labels: map[string]string{"x": "istio_responseClass"}},
	} {
		if _, err := New(Config{}).Metrics(Metrics{Overrides: []Override{o}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
}
