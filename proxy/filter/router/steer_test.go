package router

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// An upstream is told how long it has: each try less of what the request has, or
// what a try has.
func TestTimeTold(t *testing.T) {
	const spent = 300 * time.Millisecond // by each try
	second := &route.Retry{On: route.On5xx, Max: 2, BaseBackoff: time.Nanosecond}
	for name, tc := range map[string]struct {
		forward route.Forward
		options Options
		asked   string
		told    string // by try
	}{
		"the route's":               {route.Forward{Timeout: time.Second, Retry: second}, Options{}, "", "1000 700 400"},
		"a try's":                   {route.Forward{Timeout: time.Second, Retry: &route.Retry{On: route.On5xx, Max: 2, PerTry: 500 * time.Millisecond, BaseBackoff: time.Nanosecond}}, Options{}, "", "500 500 400"},
		"without end":               {route.Forward{Retry: second}, Options{}, "", "- - -"},
		"the caller's":              {route.Forward{Timeout: time.Second, Retry: second}, Options{}, "x-envoy-upstream-rq-timeout-ms: 2000\r\n", "2000 1700 1400"},
		"the caller's, a try's":     {route.Forward{Timeout: time.Second, Retry: second}, Options{}, "x-envoy-upstream-rq-per-try-timeout-ms: 600\r\n", "600 600 400"},
		"the caller's retries":      {route.Forward{Timeout: time.Second, Retry: second}, Options{}, "x-envoy-max-retries: 1\r\n", "1000 700"},
		"the caller's conditions":   {route.Forward{Timeout: time.Second, Retry: &route.Retry{Max: 1, BaseBackoff: time.Nanosecond}}, Options{}, "X-Envoy-Retry-On: 5xx\r\n", "1000 700"},
		"the router's before":       {route.Forward{Timeout: time.Second}, Options{RespectExpected: true}, "x-envoy-expected-rq-timeout-ms: 800\r\n", "800"},
		"the router's, not heeded":  {route.Forward{Timeout: time.Second}, Options{}, "x-envoy-expected-rq-timeout-ms: 800\r\n", "1000"},
		"the router's comes before": {route.Forward{Timeout: time.Second}, Options{RespectExpected: true}, "x-envoy-expected-rq-timeout-ms: 800\r\nx-envoy-upstream-rq-timeout-ms: 1\r\n", "800"},
		"gRPC in place of it":       {route.Forward{Retry: second, GRPCTimeout: &route.GRPCTimeout{}}, Options{Suppress: true}, "content-type: application/grpc\r\ngrpc-timeout: 1S\r\n", "1000m 700m 400m"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMeshWith(t, tc.forward, tc.options, cluster.Config{}, 1)
				var told []string
				m.upstream("10.0.0.1:80", func(_ int, req *http.Request, conn net.Conn) {
					field := "X-Envoy-Expected-Rq-Timeout-Ms"
					if tc.options.Suppress {
						field = "Grpc-Timeout"
					}
					value := req.Header.Get(field)
					if value == "" {
						value = "-"
					}
					told = append(told, value)
					time.Sleep(spent)
					answer(conn, 503, "later")
				})
				m.ask("GET / HTTP/1.1\r\nHost: a\r\n" + tc.asked + "\r\n")
				if got := strings.Join(told, " "); got != tc.told {
					t.Errorf("told %s; want %s", got, tc.told)
				}
			})
		})
	}
}

// What a caller adds holds for its own request alone.
func TestSteeringIsOfOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &route.Retry{On: route.OnRetriableStatus, Max: 1, Statuses: slices.Grow([]int{418}, 8), Headers: slices.Grow([]route.HeaderMatch(nil), 8), BaseBackoff: time.Nanosecond}
		m := newMesh(t, route.Forward{Retry: policy}, cluster.Config{}, 1)
		m.upstream("10.0.0.1:80", func(_ int, req *http.Request, conn net.Conn) {
			for name := range req.Header {
				if strings.HasPrefix(name, "X-Envoy-") {
					t.Errorf("the upstream got %s", name)
				}
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 410 Gone\r\nx-again: 1\r\ncontent-length: 0\r\n\r\n")
		})
		for asked, attempts := range map[string]int{
			"": 1, "x-envoy-retriable-status-codes: 410, many\r\n": 2, "x-envoy-retriable-status-codes: 1,2,3\r\n": 1,
			"x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: a,X-Again\r\n": 2, "x-envoy-retriable-header-names: x-again\r\n": 1,
			"x-envoy-retry-grpc-on: retriable-4xx,5xx\r\n": 1, "x-envoy-upstream-alt-stat-name: a\r\nx-envoy-hedge-on-per-try-timeout: true\r\n": 1,
		} {
			if _, _, info := m.ask("GET / HTTP/1.1\r\nHost: a\r\n" + asked + "\r\n"); info.Attempts != attempts {
				t.Errorf("%q: %d attempts, want %d", asked, info.Attempts, attempts)
			}
		}
		if policy.On != route.OnRetriableStatus || len(policy.Statuses) != 1 || policy.Statuses[:2][1] != 0 || policy.Headers[:1][0].Name != "" {
			t.Errorf("the route's policy changed: %+v", policy)
		}
	})
}

// The scheme is the client's, or, where that is asked, that of the connection to the
// upstream.
func TestScheme(t *testing.T) {
	for match, want := range map[bool]string{false: "https", true: "http"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, route.Forward{}, cluster.Config{}, 1)
			m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) { answer(conn, 200, "") })
			h := cluster.NewHandle("up")
			h.Store(m.cluster)
			req := &stream.Request{Method: "GET", Scheme: "https", Authority: "a", Path: "/", Conn: &stream.Conn{}, Info: &stream.Info{}}
			resp, err := New(route.Forward{Clusters: []route.Weighted{{Cluster: h}}}, Options{MatchUpstream: match}).Handle(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Done.Release(true)
			if req.Scheme != want {
				t.Errorf("match %v: got %s; want %s", match, req.Scheme, want)
			}
		})
	}
}
