package router

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// mesh is a router between a client and upstreams on a network in memory.
type mesh struct {
	*testing.T
	net     *memnet.Net
	cluster *cluster.Cluster
	server  *http1.Server
	infos   chan stream.Info
	wait    sync.WaitGroup
}

// newMesh makes a mesh whose upstreams are at 10.0.0.1:80 and up.
func newMesh(t *testing.T, f route.Forward, cfg cluster.Config, upstreams int) *mesh {
	return newMeshWith(t, f, Options{Suppress: true}, cfg, upstreams)
}

func newMeshWith(t *testing.T, f route.Forward, options Options, cfg cluster.Config, upstreams int) *mesh {
	m := &mesh{T: t, net: memnet.New(), infos: make(chan stream.Info, 64)}
	for i := range upstreams {
		cfg.Endpoints = append(cfg.Endpoints, cluster.Endpoint{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80)})
	}
	m.cluster = cluster.New(&cfg, cluster.Deps{Dial: m.net.Dial})
	h := cluster.NewHandle("up")
	h.Store(m.cluster)
	f.Clusters = []route.Weighted{{Cluster: h}}
	m.server = http1.NewServer(http1.Config{}, New(f, options), &seen{requests: m.infos})
	t.Cleanup(m.cluster.Close)
	return m
}

// upstream serves connections with f, one request each time it is called.
func (m *mesh) upstream(address string, f func(n int, req *http.Request, conn net.Conn)) {
	l, err := m.net.Listen(address)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	n := 0
	accept.Each(l, func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			mu.Lock()
			n++
			now := n
			mu.Unlock()
			f(now, req, conn)
		}
	})
}

// answer is what an upstream writes.
func answer(conn net.Conn, status int, body string) {
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s", status, len(body), body)
}

// client opens a connection through the router.
func (m *mesh) client() *memnet.Conn {
	near, far := memnet.Pipe(netip.MustParseAddrPort("10.1.0.1:1000"), netip.MustParseAddrPort("10.1.0.2:80"))
	m.wait.Go(func() {
		m.server.Serve(far, &stream.Conn{Remote: netip.MustParseAddrPort("10.1.0.1:1000"), Start: time.Now()}, nil)
	})
	m.Cleanup(func() {
		near.Close()
		m.wait.Wait()
	})
	return near
}

// ask makes one request on a connection of its own.
func (m *mesh) ask(text string) (int, string, stream.Info) {
	m.Helper()
	conn := m.client()
	_, _ = io.WriteString(conn, text)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		m.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), <-m.infos
}

// stall never answers; it ends with the connection.
func stall(_ int, _ *http.Request, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func TestTimesAreExact(t *testing.T) {
	for name, tc := range map[string]struct {
		forward route.Forward
		stream  time.Duration // that the cluster gives an exchange
		lost    bool          // the endpoint does not answer dials
		took    time.Duration
		status  int
		flags   string
		details string
	}{
		"stream duration":    {route.Forward{Timeout: 3 * time.Second}, 2 * time.Second, false, 2 * time.Second, 504, "UMSDR", "upstream_max_stream_duration_reached"},
		"timeout before":     {route.Forward{Timeout: time.Second}, 2 * time.Second, false, time.Second, 504, "UT", "response_timeout"},
		"try ends before":    {route.Forward{Retry: &route.Retry{PerTry: time.Second}}, 2 * time.Second, false, time.Second, 504, "UT", "upstream_per_try_timeout"},
		"route timeout":      {route.Forward{Timeout: 3 * time.Second}, 0, false, 3 * time.Second, 504, "UT", "response_timeout"},
		"per try timeout":    {route.Forward{Timeout: 3 * time.Second, Retry: &route.Retry{PerTry: time.Second}}, 0, false, time.Second, 504, "UT", "upstream_per_try_timeout"},
		"per try idle":       {route.Forward{Timeout: 3 * time.Second, Retry: &route.Retry{PerTryIdle: time.Second}}, 0, false, time.Second, 504, "UT", "upstream_per_try_idle_timeout"},
		"connect timeout":    {route.Forward{}, 0, true, 2 * time.Second, 503, "UF", "upstream_reset_before_response_started{connection_timeout}"},
		"timeout in connect": {route.Forward{Timeout: time.Second}, 0, true, time.Second, 504, "UT", "response_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := cluster.Config{StreamDuration: tc.stream}
				cfg.Pool.ConnectTimeout = 2 * time.Second
				m := newMesh(t, tc.forward, cfg, 1)
				m.upstream("10.0.0.1:80", stall)
				if tc.lost {
					m.net.Lose("10.0.0.1:80")
				}
				start := time.Now()
				status, _, info := m.ask(get)
				if took := time.Since(start); took != tc.took || status != tc.status || info.Flags.String() != tc.flags || info.Details != tc.details {
					t.Errorf("got %d %v %s after %v; want %d %s %s after %v", status, info.Flags, info.Details, took, tc.status, tc.flags, tc.details, tc.took)
				}
			})
		})
	}
}

// A stalled endpoint costs one try, not the request.
func TestStalledEndpointCostsOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{Retry: &route.Retry{On: route.On5xx, Max: 2, PerTry: 2 * time.Second, BaseBackoff: time.Nanosecond, AvoidPrevious: true, HostAttempts: 8}}, cluster.Config{}, 2)
		m.upstream("10.0.0.1:80", stall)
		m.upstream("10.0.0.2:80", func(_ int, _ *http.Request, conn net.Conn) { answer(conn, 200, "hello") })
		for range 8 {
			start := time.Now()
			status, body, info := m.ask(get)
			took := time.Since(start).Truncate(time.Second)
			if status != 200 || body != "hello" || took != time.Duration(info.Attempts-1)*2*time.Second || info.Attempts > 2 {
				t.Errorf("got %d %q after %v in %d attempts", status, body, took, info.Attempts)
			}
		}
	})
}

// An upstream that says when to come back is left alone until then, unless that is
// too far off.
func TestRateLimitedBackoff(t *testing.T) {
	for _, tc := range []struct {
		name, field string
		least, most time.Duration
	}{
		{"seconds", "retry-after: 4", 4 * time.Second, 6 * time.Second},
		{"Unix time", "x-reset: 946684810", 10 * time.Second, 15 * time.Second}, // the bubble's clock begins at 946684800
		{"too far off", "retry-after: 61", 0, time.Second},
		{"no number", "retry-after: soon", 0, time.Second},
		{"the past", "x-reset: 946684700", 0, time.Second},
		{"not told", "x-other: 4", 0, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, route.Forward{Retry: &route.Retry{On: route.On5xx, Max: 1, Resets: []route.Reset{{Name: "retry-after"}, {Name: "x-reset", Unix: true}}, MaxReset: time.Minute}}, cluster.Config{}, 1)
			m.upstream("10.0.0.1:80", func(n int, _ *http.Request, conn net.Conn) {
				if n > 1 {
					answer(conn, 200, "hello")
					return
				}
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 503 X\r\n%s\r\ncontent-length: 0\r\n\r\n", tc.field)
			})
			start := time.Now()
			status, _, _ := m.ask(get)
			if took := time.Since(start); status != 200 || took < tc.least || took > tc.most {
				t.Errorf("%s: got %d after %v; want between %v and %v", tc.name, status, took, tc.least, tc.most)
			}
		})
	}
}

// The time of a try ends with the answer's head; the route's bounds all of it.
func TestSlowAnswers(t *testing.T) {
	slowly := func(_ int, _ *http.Request, conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
		time.Sleep(3 * time.Second)
		_, _ = io.WriteString(conn, "llo")
	}
	for _, tc := range []struct {
		timeout time.Duration
		body    string
		flags   string
	}{{0, "hello", "-"}, {4 * time.Second, "hello", "-"}, {2 * time.Second, "he", "UT"}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, route.Forward{Timeout: tc.timeout, Retry: &route.Retry{PerTry: time.Second}}, cluster.Config{}, 1)
			m.upstream("10.0.0.1:80", slowly)
			status, body, info := m.ask(get)
			time.Sleep(3 * time.Second) // the upstream ends, too
			if status != 200 || body != tc.body || info.Flags.String() != tc.flags {
				t.Errorf("timeout %v: got %d %q %v; want %q %s", tc.timeout, status, body, info.Flags, tc.body, tc.flags)
			}
		})
	}
}

// The time of a try does not go on behind the head because the request came in pieces.
func TestSlowAnswersToSlowRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{Timeout: 10 * time.Second, Retry: &route.Retry{PerTry: time.Second}}, cluster.Config{}, 1)
		m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
			time.Sleep(3 * time.Second)
			_, _ = io.WriteString(conn, "llo")
		})
		conn := m.client()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
		time.Sleep(500 * time.Millisecond) // mesh time
		_, _ = io.WriteString(conn, "y")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
			t.Errorf("got %q, %v", body, err)
		}
		if info := <-m.infos; info.RequestDone.Sub(info.Start) != 500*time.Millisecond {
			t.Errorf("the request was whole after %v", info.RequestDone.Sub(info.Start))
		}
	})
}

// A retry looks at connections as they are when it begins.
func TestRetriesTakeNoDeadConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retry := &route.Retry{On: route.On5xx, Max: 1, Resets: []route.Reset{{Name: "retry-after"}}, MaxReset: time.Minute}
		m := newMesh(t, route.Forward{Retry: retry}, cluster.Config{}, 1)
		n := 0
		m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
			if n++; n > 1 {
				answer(conn, 200, "well")
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 503 X\r\ncontent-length: 0\r\nretry-after: 4\r\n\r\n")
			time.Sleep(time.Second)
			conn.Close()
		})
		if status, body, info := m.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"); status != 200 || body != "well" {
			t.Errorf("got %d %q, %v %s", status, body, info.Flags, info.Details)
		}
	})
}

// Times beyond what gRPC's eight digits say in milliseconds have another unit, and
// pauses stay within their limit whatever they are made of.
func TestLongTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0m", time.Second: "1000m", 27 * time.Hour: "97200000m", 48 * time.Hour: "172800S", 40_000 * time.Hour: "2400000M", 100 * 365 * 24 * time.Hour: "52560000M"} {
		if got := grpcTimeout(d); got != want {
			t.Errorf("%v is %s; want %s", d, got, want)
		}
		var h stream.Header
		h.Add("grpc-timeout", grpcTimeout(d))
		if back, told := stream.GRPCTimeout(&h); !told || back != d {
			t.Errorf("%v comes back as %v, %v", d, back, told)
		}
	}
	for tries := range 40 {
		a := &attempt{policy: &route.Retry{BaseBackoff: 48 * time.Hour, MaxBackoff: 480 * time.Hour}, tries: tries + 1}
		if got := a.backoff(nil); got < 0 || got > 480*time.Hour {
			t.Errorf("try %d waits for %v", tries, got)
		}
	}
}

// A response that is under way is cut off when its stream has lasted as long as the
// cluster allows.
func TestStreamsAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{Timeout: time.Minute}, cluster.Config{StreamDuration: 3 * time.Second}, 1)
		m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, conn)
		})
		start := time.Now()
		status, body, info := m.ask(get)
		if took := time.Since(start); status != 200 || body != "hello" || took != 3*time.Second || info.Flags.String() != "UMSDR" || info.Details != "upstream_max_stream_duration_reached" {
			t.Errorf("got %d %q %v %s after %v", status, body, info.Flags, info.Details, took)
		}
	})
}

// What comes of a try, head or content, begins its idle time anew.
func TestIdleTry(t *testing.T) {
	for _, tc := range []struct {
		pause         time.Duration
		body, details string
		flags         string
	}{
		{2 * time.Second, "xxx", "via_upstream", "-"},
		{3 * time.Second, "", "upstream_per_try_idle_timeout", "UT"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, route.Forward{Retry: &route.Retry{On: route.On5xx, Max: 1, PerTryIdle: 2500 * time.Millisecond}}, cluster.Config{}, 1)
			m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
				time.Sleep(2 * time.Second)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
				for range 3 {
					time.Sleep(tc.pause)
					_, _ = io.WriteString(conn, "x")
				}
			})
			status, body, info := m.ask(get)
			time.Sleep(10 * time.Second) // the upstream ends, too
			if status != 200 || body != tc.body || info.Flags.String() != tc.flags || info.Details != tc.details || info.Attempts != 1 {
				t.Errorf("pause %v: got %d %q %v %s in %d attempts; want %q %s %s", tc.pause, status, body, info.Flags, info.Details, info.Attempts, tc.body, tc.flags, tc.details)
			}
			if idle := m.cluster.Stats.RqPerTryIdleTimeout.Load(); (idle == 1) != (tc.flags == "UT") {
				t.Errorf("pause %v: %d idle tries counted", tc.pause, idle)
			}
		})
	}
}

// A client that takes its time over the request does not use up its try's.
func TestSlowUploadIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{Retry: &route.Retry{PerTryIdle: time.Second}}, cluster.Config{}, 1)
		m.upstream("10.0.0.1:80", stall)
		conn := m.client()
		start := time.Now()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
		time.Sleep(2500 * time.Millisecond) // mesh time
		_, _ = io.WriteString(conn, "y")
		info := <-m.infos
		if took := time.Since(start); took != 3500*time.Millisecond || info.Details != "upstream_per_try_idle_timeout" {
			t.Errorf("ended by %s after %v; want a second after the upload", info.Details, took)
		}
	})
}

func TestWhatIsRetried(t *testing.T) {
	cut := func(_ int, _ *http.Request, conn net.Conn) { conn.Close() }
	with := func(status int, fields string) func(int, *http.Request, net.Conn) {
		return func(n int, _ *http.Request, conn net.Conn) {
			if n > 1 {
				answer(conn, 200, "good")
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\n%scontent-length: 3\r\n\r\nbad", status, fields)
		}
	}
	first := func(f func(int, *http.Request, net.Conn)) func(int, *http.Request, net.Conn) {
		return func(n int, r *http.Request, conn net.Conn) {
			if n > 1 {
				answer(conn, 200, "good")
				return
			}
			f(n, r, conn)
		}
	}
	for name, tc := range map[string]struct {
		on       route.RetryOn
		upstream func(int, *http.Request, net.Conn)
		attempts int
	}{
		"5xx: 500":                    {route.On5xx, with(500, ""), 2},
		"5xx: reset":                  {route.On5xx, first(cut), 2},
		"5xx: 404":                    {route.On5xx, with(404, ""), 1},
		"gateway-error: 500":          {route.OnGatewayError, with(500, ""), 1},
		"gateway-error: 502":          {route.OnGatewayError, with(502, ""), 2},
		"gateway-error: 504":          {route.OnGatewayError, with(504, ""), 2},
		"reset: reset":                {route.OnReset, first(cut), 2},
		"reset: 503":                  {route.OnReset, with(503, ""), 1},
		"connect-failure: reset":      {route.OnConnectFailure, first(cut), 1},
		"retriable-4xx: 409":          {route.OnRetriable4xx, with(409, ""), 2},
		"retriable-4xx: 404":          {route.OnRetriable4xx, with(404, ""), 1},
		"retriable-status-codes: 418": {route.OnRetriableStatus, with(418, ""), 2},
		"retriable-headers":           {route.OnRetriableHeaders, with(200, "x-again: yes\r\n"), 2},
		"envoy-ratelimited":           {route.OnEnvoyRatelimited, with(429, "x-envoy-ratelimited: true\r\n"), 2},
		"unavailable: trailers only":  {route.OnGRPCUnavailable, with(200, "grpc-status: 14\r\n"), 2},
		"cancelled: unavailable":      {route.OnGRPCCancelled, with(200, "grpc-status: 14\r\n"), 1},
		"nothing":                     {0, first(cut), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, route.Forward{Retry: &route.Retry{On: tc.on, Max: 2, Statuses: []int{418}, Headers: []route.HeaderMatch{{Name: "x-again", Match: route.StringMatch{Kind: route.Present}}}}}, cluster.Config{}, 1)
				m.upstream("10.0.0.1:80", tc.upstream)
				_, body, info := m.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
				if info.Attempts != tc.attempts || tc.attempts > 1 && body != "good" {
					t.Errorf("got %q after %d attempts; want %d", body, info.Attempts, tc.attempts)
				}
			})
		})
	}
}

// Over the limit of connections requests wait, as many as may, and overflow
// beyond.
func TestRequestsWaitForConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{}, cluster.Config{Limits: cluster.Limits{Connections: 1, Pending: 2}}, 1)
		m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
			time.Sleep(time.Second)
			answer(conn, 200, "hello")
		})
		type result struct {
			status int
			flags  string
			took   time.Duration
		}
		results := make(chan result, 4)
		start := time.Now()
		for range 4 {
			m.wait.Go(func() {
				status, _, info := m.ask(get)
				results <- result{status, info.Flags.String(), time.Since(start)}
			})
		}
		got := map[result]int{}
		for range 4 {
			got[<-results]++
		}
		for _, want := range []result{{503, "UO", 0}, {200, "-", time.Second}, {200, "-", 2 * time.Second}, {200, "-", 3 * time.Second}} {
			if got[want] != 1 {
				t.Errorf("got %v; want one of each, with %v", got, want)
			}
		}
		if open := m.cluster.Hosts()[0].Pool().Open(); open != 1 {
			t.Errorf("%d connections", open)
		}
	})
}

// An answer that comes before the request has ended does not wait for it.
func TestEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{}, cluster.Config{}, 1)
		l, _ := m.net.Listen("10.0.0.1:80")
		defer l.Close()
		over := make(chan struct{})
		defer close(over)
		go func() {
			conn, _ := l.Accept()
			defer conn.Close()
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			answer(conn, 413, "too large")
			<-over // reads nothing more
		}()
		conn := m.client()
		start := time.Now()
		go func() {
			_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 500_000))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 413 {
			t.Fatalf("got %v, %v", resp, err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("answered after %v", took)
		}
		_, _ = io.ReadAll(conn)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
		<-m.infos
	})
}

// An endpoint whose client has gone is not kept busy.
func TestUpstreamIsFreedWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, route.Forward{Retry: &route.Retry{On: route.OnReset | route.On5xx, Max: 3}}, cluster.Config{}, 1)
		calls := 0
		m.upstream("10.0.0.1:80", func(n int, r *http.Request, conn net.Conn) { calls++; stall(n, r, conn) })
		conn := m.client()
		_, _ = io.WriteString(conn, get)
		time.Sleep(time.Second) // mesh time
		start := time.Now()
		conn.Close()
		info := <-m.infos
		if took := time.Since(start); took > 2*time.Second || info.Flags.String() != "DC" || info.Status != 0 || calls != 1 {
			t.Errorf("after %v noted %v, status %d, %d calls", took, info.Flags, info.Status, calls)
		}
		synctest.Wait()
		if open := m.cluster.Hosts()[0].Pool().Open(); open != 0 || m.cluster.Requests() != 0 {
			t.Errorf("%d connections, %d requests", open, m.cluster.Requests())
		}
	})
}
