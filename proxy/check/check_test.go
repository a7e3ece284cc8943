package check

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

type probe interface {
	Probe(context.Context, cluster.Target) (bool, error)
}

func ask(t *testing.T, p probe, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	to := cluster.Target{Pool: pool.New("tcp", address, &pool.Config{}, nil, pool.NetDial, nil)}
	defer to.Pool.Shut()
	_, err := p.Probe(ctx, to)
	return err
}

func unwell(err error) bool {
	var u *cluster.Unwell
	return errors.As(err, &u)
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(h2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/well": 200, "/unwell": 500, "/later": 503, "/created": 201}[r.URL.Path]
		if r.Host != "shop" || r.Header.Get("x-own") != "1" {
			status = 400
		}
		w.Header().Set("x-envoy-upstream-healthchecked-cluster", "shop")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "as you see")
	}), &http2.Server{}))
	defer s.Close()
	for _, second := range []bool{false, true} {
		for path, tc := range map[string]struct{ fails, unwell bool }{"/well": {}, "/created": {}, "/unwell": {true, true}, "/later": {true, false}} {
			h := &HTTP{Method: "GET", Host: "shop", Path: path, HTTP2: second, Expected: []Status{{200, 202}}, Retriable: []Status{{503, 504}}}
			h.Header = append(h.Header, struct{ Name, Value string }{"x-own", "1"})
			if err := ask(t, h, s.Listener.Addr().String()); (err != nil) != tc.fails || unwell(err) != tc.unwell {
				t.Errorf("HTTP/2 %v, %s: got %v", second, path, err)
			}
		}
	}
	for name, well := range map[string]bool{"shop": true, "cart": false} {
		h := &HTTP{Method: "GET", Host: "shop", Path: "/well", Header: []stream.Field{{Name: "x-own", Value: "1"}}, Cluster: func(serves string) bool { return serves == name }}
		if err := ask(t, h, s.Listener.Addr().String()); unwell(err) == well || well && err != nil {
			t.Errorf("asked of %s: got %v", name, err)
		}
	}
	if err := ask(t, &HTTP{Method: "GET", Path: "/"}, "127.0.0.1:1"); err == nil || unwell(err) {
		t.Errorf("nobody there: got %v", err)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, states := grpc.NewServer(), health.NewServer()
	healthv1.RegisterHealthServer(s, states)
	go func() { _ = s.Serve(l) }() // ends with Stop
	defer s.Stop()
	states.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
	states.SetServingStatus("cart", healthv1.HealthCheckResponse_NOT_SERVING)
	for service, tc := range map[string]struct{ fails, unwell bool }{"": {}, "shop": {}, "cart": {true, true}, "nobody": {true, true}} {
		if err := ask(t, &GRPC{Service: service, Authority: "a"}, l.Addr().String()); (err != nil) != tc.fails || unwell(err) != tc.unwell {
			t.Errorf("%q: got %v", service, err)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept.Each(l, func(conn net.Conn) {
		defer conn.Close()
		p := make([]byte, 4)
		if _, err := io.ReadFull(conn, p); err == nil {
			_, _ = io.WriteString(conn, "+PO"+"NG and more")
		}
	})
	for name, tc := range map[string]struct {
		probe TCP
		fails bool
	}{
		"connection alone": {TCP{}, false},
		"answer":           {TCP{Send: []byte("PING"), Receive: [][]byte{[]byte("PONG"), []byte("more")}}, false},
		"wrong order":      {TCP{Send: []byte("PING"), Receive: [][]byte{[]byte("more"), []byte("PONG")}}, true},
		"other answer":     {TCP{Send: []byte("PING"), Receive: [][]byte{[]byte("NOPE")}}, true},
	} {
		if err := ask(t, &tc.probe, l.Addr().String()); (err != nil) != tc.fails {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Probes share a connection or have one each; what an endpoint is called and that it
// is degraded are told.
func TestConnectionsOfProbes(t *testing.T) {
	s := httptest.NewServer(h2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "degraded" {
			w.Header().Set("x-envoy-degraded", "1")
		}
	}), &http2.Server{}))
	defer s.Close()
	for _, reuse := range []bool{false, true} {
		for _, second := range []bool{false, true} {
			opened := 0
			dial := func(ctx context.Context, network, address string, source net.Addr) (net.Conn, error) {
				opened++
				return pool.NetDial(ctx, network, address, source)
			}
			to := cluster.Target{Pool: pool.New("tcp", s.Listener.Addr().String(), &pool.Config{}, nil, dial, nil)}
			for _, host := range []string{"", "degraded", ""} {
				to.Host = host
				degraded, err := (&HTTP{Method: "GET", Host: "shop", Path: "/", HTTP2: second, Reuse: reuse}).Probe(t.Context(), to)
				if err != nil || degraded != (host == "degraded") {
					t.Errorf("HTTP/2 %v: %q is degraded %v, %v", second, host, degraded, err)
				}
			}
			if want := map[bool]int{false: 3, true: 1}[reuse]; opened != want {
				t.Errorf("HTTP/2 %v, reused %v: %d connections for three probes", second, reuse, opened)
			}
			to.Pool.Shut()
		}
	}
}

// served is an endpoint in memory.
func served(t *testing.T, serve func(net.Conn)) cluster.Target {
	n := memnet.New()
	l, err := n.Listen("10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accept.Each(l, serve)
	return cluster.Target{Pool: pool.New("tcp", "10.0.0.1:80", &pool.Config{}, nil, n.Dial, nil)}
}

// An answer that comes too late is not the next probe's: that has another connection.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		to := served(t, func(conn net.Conn) {
			defer conn.Close()
			for in := bufio.NewReader(conn); ; {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				answer := "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
				switch asked.Add(1) {
				case 2:
					time.Sleep(3 * time.Second)
				case 3:
					answer = "HTTP/1.1 500 Ill\r\ncontent-length: 0\r\n\r\n"
				}
				if _, err := io.WriteString(conn, answer); err != nil {
					return
				}
			}
		})
		for i, want := range []struct{ fails, unwell bool }{{false, false}, {true, false}, {true, true}} {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			if _, err := (&HTTP{Method: "GET", Host: "shop", Path: "/", Reuse: true}).Probe(ctx, to); (err != nil) != want.fails || unwell(err) != want.unwell {
				t.Errorf("probe %d got %v", i, err)
			}
			cancel()
		}
		to.Pool.Drain()
		time.Sleep(5 * time.Second) // the late answer finds nobody
	})
}

// A connection on which nothing is answered is not asked again.
func TestSilentConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		to := served(t, func(conn net.Conn) {
			opened.Add(1)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		})
		for want := int32(1); want < 4; want++ {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := (&GRPC{Reuse: true}).Probe(ctx, to); err == nil || unwell(err) || opened.Load() != want {
				t.Errorf("got %v on connection %d; want %d", err, opened.Load(), want)
			}
			cancel()
		}
		to.Pool.Drain()
	})
}
