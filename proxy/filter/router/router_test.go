package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// seen collects what the observer was told.
type seen struct {
	stream.RequestsOnly
	requests chan stream.Info
}

func (s *seen) Request(req *stream.Request, _ *stream.Response) {
	select {
	case s.requests <- *req.Info:
	default:
	}
}

// proxyTo starts a proxy in front of the upstreams and returns its address.
func proxyTo(t testing.TB, f route.Forward, observer stream.Observer, upstreams ...string) string {
	t.Helper()
	address, _ := proxyToCluster(t, f, observer, cluster.Limits{}, upstreams...)
	return address
}

// proxyToCluster is proxyTo with limits; it gives the cluster as well.
func proxyToCluster(t testing.TB, f route.Forward, observer stream.Observer, limits cluster.Limits, upstreams ...string) (string, *cluster.Cluster) {
	t.Helper()
	handle := cluster.NewHandle("up")
	var eps []cluster.Endpoint
	for _, u := range upstreams {
		eps = append(eps, cluster.Endpoint{Address: netip.MustParseAddrPort(u)})
	}
	c := cluster.New(&cluster.Config{Name: "up", Endpoints: eps, Limits: limits}, cluster.Deps{})
	handle.Store(c)
	f.Clusters = []route.Weighted{{Cluster: handle}}
	table, err := route.New(route.Config{Hosts: []*route.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{Match: route.Match{Value: "/"}, Handler: New(f, Options{})}}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := http1.NewServer(http1.Config{}, routed{table}, observer)
	set := listener.NewSet(listener.Deps{})
	address := socket.Address{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")}
	if failed := set.Update([]*listener.Config{{Name: "test", Address: address, Bind: true, Default: &listener.Chain{Handler: server}}}); len(failed) > 0 {
		t.Fatal(failed)
	}
	t.Cleanup(set.Close)
	return set.Addresses()[address].String(), c
}

type routed struct{ *route.Table }

func (r routed) Handle(req *stream.Request) (*stream.Response, error) {
	found := r.Match(req)
	if found == nil {
		return nil, &stream.Refusal{Status: 404, Flags: stream.NoRoute, Details: "route_not_found"}
	}
	return found.Handler.Handle(req)
}

func upstream(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	return u.Host
}

func TestBodiesPassBothWays(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		w.Header().Set("X-Host", r.Host)
		if r.URL.Path == "/stream" {
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(body)
	})
	address := proxyTo(t, route.Forward{}, nil, up)
	for _, size := range []int{0, 1, 1000, 9000, 100_000, 3_000_000} {
		for _, path := range []string{"/", "/stream"} {
			for _, chunked := range []bool{false, true} {
				want := strings.Repeat("x", size)
				var body io.Reader = strings.NewReader(want)
				if chunked {
					body = io.MultiReader(body) // hides the length
				}
				resp, err := http.Post("http://"+address+path, "text/plain", body)
				if err != nil {
					t.Fatalf("%d bytes, chunked %v: %v", size, chunked, err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != want || resp.Header.Get("X-Host") != address {
					t.Errorf("%d bytes, chunked %v: got %d bytes, %v, host %q", size, chunked, len(got), err, resp.Header.Get("X-Host"))
				}
			}
		}
	}
}

func TestRetriesStopAtTheirNumber(t *testing.T) {
	var calls atomic.Int32
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 4 {
			w.WriteHeader(503)
			return
		}
		fmt.Fprint(w, r.Header.Get("X-Envoy-Attempt-Count"))
	})
	observer := &seen{requests: make(chan stream.Info, 8)}
	address := proxyTo(t, route.Forward{AttemptCount: true, Retry: &route.Retry{On: route.On5xx, Max: 3, BaseBackoff: time.Millisecond}}, observer, up)
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || string(body) != "4" || calls.Load() != 4 {
		t.Errorf("got %d %q after %d calls; want 200 at the fourth try", resp.StatusCode, body, calls.Load())
	}
	if info := <-observer.requests; info.Attempts != 4 || info.Flags != 0 {
		t.Errorf("noted %d attempts, flags %v", info.Attempts, info.Flags)
	}
	calls.Store(-100)
	resp, err = http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 || calls.Load() != -96 {
		t.Errorf("got %d after %d calls; want the upstream's 503 after 4", resp.StatusCode, calls.Load()+100)
	}
}

func TestFailuresHaveEnvoysWords(t *testing.T) {
	slow := upstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	accept.Each(cut, func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		c.Close()
	})
	for _, tc := range []struct {
		name    string
		forward route.Forward
		up      []string
		status  int
		body    string
		flags   string
	}{
		{"nobody there", route.Forward{}, nil, 503, "no healthy upstream", "UH"},
		{"refused", route.Forward{}, []string{"127.0.0.1:1"}, 503, "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure", "UF"},
		{"too slow", route.Forward{Timeout: 50 * time.Millisecond}, []string{slow}, 504, "upstream request timeout", "UT"},
		{"cut off", route.Forward{}, []string{cut.Addr().String()}, 503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination", "UC"},
		{"retried", route.Forward{Retry: &route.Retry{On: route.OnConnectFailure, Max: 1, BaseBackoff: time.Millisecond}}, []string{"127.0.0.1:1"}, 503, "", "UF,URX"},
	} {
		observer := &seen{requests: make(chan stream.Info, 8)}
		resp, err := http.Get("http://" + proxyTo(t, tc.forward, observer, tc.up...))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		info := <-observer.requests
		if resp.StatusCode != tc.status || tc.body != "" && string(body) != tc.body || info.Flags.String() != tc.flags {
			t.Errorf("%s: got %d %q %v; want %d %q %s", tc.name, resp.StatusCode, body, info.Flags, tc.status, tc.body, tc.flags)
		}
	}
}

// fixed answers every request with the same bytes, allocating nothing.
func fixed(t testing.TB, reply string) string {
	answer := []byte(reply)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accept.Each(l, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	return l.Addr().String()
}

const kilobyteReply = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n\r\n"

// exchangeOn returns a function that makes one request on one connection.
func exchangeOn(t testing.TB, address string) func() {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	request := []byte("GET /x HTTP/1.1\r\nhost: up.example.com\r\nuser-agent: test\r\naccept: */*\r\nx-request-id: 1\r\n\r\n")
	buf := make([]byte, 8192)
	return func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		for have := 0; have < 1024; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			have += n
		}
	}
}

func TestKeptConnectionAllocatesNothing(t *testing.T) {
	if race {
		t.Skip("the race detector makes sync.Pool forget at random: the budget is held without it")
	}
	exchange := exchangeOn(t, proxyTo(t, route.Forward{}, nil, fixed(t, kilobyteReply+strings.Repeat("x", 1024))))
	for range 200 {
		exchange()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 2000
	for range n {
		exchange()
	}
	runtime.ReadMemStats(&after)
	// Timers and the runtime itself allocate now and then; a request must not.
	if got := float64(after.Mallocs-before.Mallocs) / n; got >= 0.05 {
		t.Errorf("%.2f allocations per request; want none", got)
	}
}

func BenchmarkHop(b *testing.B) {
	exchange := exchangeOn(b, proxyTo(b, route.Forward{}, nil, fixed(b, kilobyteReply+strings.Repeat("x", 1024))))
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}
