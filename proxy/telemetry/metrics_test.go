package telemetry

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

func scraped(t *testing.T, tel *Telemetry) string {
	t.Helper()
	var out bytes.Buffer
	if err := tel.WritePrometheus(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func metricsOf(t testing.TB, tel *Telemetry, cfg Metrics) stream.Observer {
	t.Helper()
	o, err := tel.Metrics(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Two pods of one workload, told by two pointers, are one series: Prometheus
// refuses a sample that comes twice.
func TestPeersBecomeOneSeries(t *testing.T) {
	tel := New(Config{})
	o := metricsOf(t, tel, Metrics{Source: true})
	for _, pod := range []string{"a", "b"} {
		req, resp := sample()
		req.Info.UpstreamPeer = &stream.Peer{Name: pod, Workload: "details-v1", Namespace: "shop"}
		req.Info.Destination = &stream.Service{Host: "details.shop.svc.cluster.local", Name: "details", Namespace: "shop"}
		o.Request(req, resp)
	}
	got := scraped(t, tel)
	if n := strings.Count(got, "istio_requests_total{"); n != 1 || !strings.Contains(got, `connection_security_policy="unknown"} 2`) {
		t.Errorf("%d series; want one with 2 requests:\n%s", n, got)
	}
}

// Where no service is known, the request's host stands for it, and the cluster
// that takes all names itself.
func TestDestinationWithoutService(t *testing.T) {
	tel := New(Config{})
	o := metricsOf(t, tel, Metrics{Source: true})
	req, resp := sample()
	req.Authority, req.Info.Cluster = `evil"host`, "PassthroughCluster"
	o.Request(req, resp)
	if got, want := scraped(t, tel), `destination_service="evil\"host",destination_canonical_service="unknown",destination_canonical_revision="latest",destination_service_name="PassthroughCluster"`; !strings.Contains(got, want) {
		t.Errorf("no %s in\n%s", want, got)
	}
}

// grpc_response_status is the trailer's number.
func TestGRPCStatus(t *testing.T) {
	tel := New(Config{})
	req, resp := sample()
	req.Header.Add("content-type", "application/grpc+proto")
	resp.Header.Add("grpc-status", "14")
	metricsOf(t, tel, Metrics{}).Request(req, resp)
	if got, want := scraped(t, tel), `request_protocol="grpc",response_code="200",grpc_response_status="14"`; !strings.Contains(got, want) {
		t.Errorf("no %s in\n%s", want, got)
	}
}

// A byte stream counts as opened with its first bytes; its bytes are told every
// interval and at the end, each once.
func TestByteStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := New(Config{})
		o := metricsOf(t, tel, Metrics{})
		tcp := &stream.TCP{Conn: &stream.Conn{}, Info: &stream.Info{Destination: &stream.Service{Host: "db", Name: "db"}}}
		value := func(name string) string {
			for line := range strings.Lines(scraped(t, tel)) {
				if strings.HasPrefix(line, name+"{") {
					return strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
				}
			}
			return ""
		}
		want := func(opened, closed, received, sent string) {
			t.Helper()
			got := []string{value("istio_tcp_connections_opened_total"), value("istio_tcp_connections_closed_total"),
				value("istio_tcp_received_bytes_total"), value("istio_tcp_sent_bytes_total")}
			if w := []string{opened, closed, received, sent}; strings.Join(got, " ") != strings.Join(w, " ") {
				t.Errorf("got opened, closed, received, sent %v; want %v", got, w)
			}
		}
		o.Opened(tcp)
		want("", "", "", "")
		o.Progress(tcp, 3, 0)
		want("1", "0", "3", "0")
		o.Progress(tcp, 0, 5)
		want("1", "0", "3", "0")
		time.Sleep(5 * time.Second)
		o.Progress(tcp, 1, 0)
		want("1", "0", "4", "5")
		o.Progress(tcp, 1, 1)
		o.Closed(tcp)
		want("1", "1", "5", "6")
	})
}

// Hosts from outside cannot make us keep more than so many series, and what has
// been counted is not lost.
func TestSeriesAreBounded(t *testing.T) {
	tel := New(Config{})
	for i := range 50 {
		tel.find(key{code: i + 1}).requests.Add(1)
	}
	for i := range maxSeries + 10 {
		tel.book.all[strconv.Itoa(i)] = &series{}
	}
	tel.find(key{code: 1000}).requests.Add(1)
	tel.find(key{code: 1001}).requests.Add(1)
	if got := tel.find(key{code: 1000}).requests.Load(); got != 2 {
		t.Errorf("the series of unknowns counts %d; want 2", got)
	}
	if got := tel.find(key{code: 7}).requests.Load(); got != 1 {
		t.Errorf("an early series counts %d; want 1", got)
	}
}

func BenchmarkRequest(b *testing.B) {
	tel := New(Config{Stdout: &bytes.Buffer{}})
	log, err := tel.AccessLog(AccessLog{Path: "/dev/null", Format: Format{Text: istioDefault}})
	if err != nil {
		b.Fatal(err)
	}
	metrics := metricsOf(b, tel, Metrics{Source: true})
	req, resp := sample()
	req.Info.UpstreamPeer = &stream.Peer{Workload: "details-v1"}
	req.Info.UpstreamURI = "spiffe://cluster.local/ns/default/sa/details"
	req.Info.Destination = &stream.Service{Host: "details"}
	b.Run("metrics", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			metrics.Request(req, resp)
		}
	})
	b.Run("log", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			log.Request(req, resp)
		}
	})
}
