package router

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
)

// tardy answers each try as late as its turn says, with its status.
func tardy(turns ...any) func(int, *http.Request, net.Conn) {
	var mu sync.Mutex
	n := 0
	return func(_ int, _ *http.Request, conn net.Conn) {
		mu.Lock()
		mine := min(n, len(turns)/2-1)
		n++
		mu.Unlock()
		time.Sleep(turns[2*mine].(time.Duration))
		answer(conn, turns[2*mine+1].(int), string(rune('a'+mine)))
	}
}

func hedging(max uint32) route.Forward {
	return route.Forward{Timeout: 10 * time.Second, Retry: &route.Retry{On: route.On5xx, Max: max, PerTry: time.Second, Hedge: true, BaseBackoff: time.Nanosecond}}
}

func TestFirstGoodAnswerWins(t *testing.T) {
	const s = time.Second
	for name, tc := range map[string]struct {
		retries  uint32
		upstream func(int, *http.Request, net.Conn)
		status   int
		body     string
		took     time.Duration
		attempts int
		flags    string
	}{
		"at once":                     {1, tardy(0*s, 200), 200, "a", 0, 1, "-"},
		"the second":                  {1, tardy(5*s, 200, s/2, 200), 200, "b", 3 * s / 2, 2, "-"},
		"the first":                   {1, tardy(3*s/2, 200, 5*s, 200), 200, "a", 3 * s / 2, 2, "-"},
		"the third":                   {2, tardy(9*s, 200, 9*s, 200, s/2, 200), 200, "c", 5 * s / 2, 3, "-"},
		"slow without a retry left":   {1, tardy(5*s, 200), 200, "a", 5 * s, 2, "URX"},
		"a bad one is not waited for": {1, tardy(3*s, 200, 0*s, 503), 200, "a", 3 * s, 2, "URX"},
		"a bad one that was slow":     {1, tardy(2*s, 503, 3*s, 200), 200, "b", 4 * s, 2, "URX"},
		"both bad":                    {1, tardy(2*s, 500, 2*s, 503), 503, "b", 3 * s, 2, "URX"},
		"none in time":                {1, tardy(20*s, 200), 504, "upstream request timeout", 10 * s, 2, "URX,UT"},
		"bad at once":                 {1, tardy(0*s, 503, 0*s, 200), 200, "b", 0, 2, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, hedging(tc.retries), cluster.Config{}, 1)
				m.upstream("10.0.0.1:80", tc.upstream)
				start := time.Now()
				status, body, info := m.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
				took := time.Since(start).Truncate(time.Millisecond)
				if status != tc.status || body != tc.body || took != tc.took || info.Attempts != tc.attempts || info.Flags.String() != tc.flags || info.BytesReceived != 4 {
					t.Errorf("got %d %q after %v in %d attempts, %v, %d bytes received; want %d %q after %v in %d, %s, 4", status, body, took, info.Attempts, info.Flags, info.BytesReceived, tc.status, tc.body, tc.took, tc.attempts, tc.flags)
				}
				synctest.Wait()
				if active, busy := m.cluster.Requests(), m.cluster.Hosts()[0].Active.Load(); active != 0 || busy != 0 {
					t.Errorf("%d requests, %d at the endpoint: the losers go on", active, busy)
				}
				time.Sleep(time.Minute) // the upstream ends, too
			})
		})
	}
}

// Every try has the whole body, also of a client that takes its time over it.
func TestHedgedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, hedging(1), cluster.Config{}, 1)
		bodies := make(chan string, 4)
		var mu sync.Mutex
		n := 0
		l := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies <- string(body)
			mu.Lock()
			n++
			late := n == 1
			mu.Unlock()
			if late {
				<-r.Context().Done()
			}
		})}
		listener, err := m.net.Listen("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { _ = l.Serve(listener); close(done) }()
		defer func() { l.Close(); <-done }()
		conn := m.client()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
		time.Sleep(3 * time.Second) // mesh time
		_, _ = io.WriteString(conn, "again")
		if info := <-m.infos; info.Status != 200 || info.Attempts != 2 {
			t.Errorf("got %d in %d attempts", info.Status, info.Attempts)
		}
		if a, b := <-bodies, <-bodies; a != "helloagain" || b != a {
			t.Errorf("the tries had %q and %q", a, b)
		}
	})
}

// A body that may have no end before its answer goes upstream as it comes, once.
func TestStreamsAreNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, hedging(2), cluster.Config{}, 1)
		m.upstream("10.0.0.1:80", tardy(5*time.Second, 200))
		conn := m.client()
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		time.Sleep(time.Second) // mesh time
		_, _ = io.WriteString(conn, "5\r\nagain\r\n0\r\n\r\n")
		if info := <-m.infos; info.Status != 200 || info.Attempts != 1 || info.BytesReceived != 10 {
			t.Errorf("got %d in %d attempts, %d bytes received", info.Status, info.Attempts, info.BytesReceived)
		}
	})
}

// On connections that requests share, tries end alone.
func TestHedgeOnSharedConnections(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		policy route.Retry
		turns  []any
		status int
		body   string
		took   time.Duration
	}{
		"hedged": {route.Retry{On: route.On5xx, Max: 1, PerTry: 100 * ms, Hedge: true, BaseBackoff: time.Nanosecond}, []any{500 * ms, 200, 50 * ms, 200}, 200, "b", 150 * ms},
		"idle":   {route.Retry{PerTryIdle: 100 * ms}, []any{500 * ms, 200, 50 * ms, 200}, 504, "upstream request timeout", 100 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, route.Forward{}, cluster.Config{}, 0)
				answers := tardy(append(tc.turns, 0*ms, 200)...)
				m.upstream("10.0.0.1:80", answers)
				hop(t, m.net, "10.0.0.8:80", "10.0.0.1:80", route.Forward{}, 2, 1)
				hop(t, m.net, "10.0.0.9:80", "10.0.0.8:80", route.Forward{Retry: &tc.policy}, 1, 2)
				conn, err := m.net.Dial(context.Background(), "tcp", "10.0.0.9:80", nil)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				r := bufio.NewReader(conn)
				for i := range 3 {
					start := time.Now()
					_, _ = io.WriteString(conn, get)
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					took := time.Since(start).Truncate(ms)
					if i == 0 && (resp.StatusCode != tc.status || string(body) != tc.body || took != tc.took) {
						t.Errorf("got %d %q after %v; want %d %q after %v", resp.StatusCode, body, took, tc.status, tc.body, tc.took)
					}
					if i > 0 && resp.StatusCode != 200 {
						t.Errorf("request %d: %d", i, resp.StatusCode)
					}
				}
				time.Sleep(time.Second) // the upstream ends, too
			})
		})
	}
}

// Tries beside one another are retries to the budget.
func TestHedgeTakesTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, hedging(2), cluster.Config{Limits: cluster.Limits{RetryPercent: 0.1}}, 1)
		m.upstream("10.0.0.1:80", tardy(5*time.Second, 200))
		status, body, info := m.ask(get)
		if status != 200 || body != "a" || info.Attempts != 1 || info.Flags.String() != "UO" || m.cluster.Stats.RqRetryOverflow.Load() != 1 {
			t.Errorf("got %d %q in %d attempts, %v", status, body, info.Attempts, info.Flags)
		}
	})
}

func TestHedgeEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, hedging(1), cluster.Config{}, 1)
		m.upstream("10.0.0.1:80", stall)
		conn := m.client()
		_, _ = io.WriteString(conn, get)
		time.Sleep(2500 * time.Millisecond) // mesh time: both are under way
		conn.Close()
		if info := <-m.infos; info.Flags.String() != "URX,DC" || info.Attempts != 2 {
			t.Errorf("noted %v, %d attempts", info.Flags, info.Attempts)
		}
		synctest.Wait()
		if open, active := m.cluster.Hosts()[0].Pool().Open(), m.cluster.Requests(); open != 0 || active != 0 {
			t.Errorf("%d connections, %d requests", open, active)
		}
	})
}

// An endpoint that never answers is found out, though another one answers each time.
func TestHedgesTellOfTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := cluster.Config{Outlier: &cluster.Outlier{Consecutive5xx: 3, Enforce5xx: 100, BaseEjection: time.Hour, MaxEjectionPercent: 50}}
		f := hedging(1)
		f.Retry.AvoidPrevious, f.Retry.HostAttempts = true, 8
		m := newMesh(t, f, cfg, 2)
		m.upstream("10.0.0.1:80", stall)
		m.upstream("10.0.0.2:80", func(_ int, _ *http.Request, conn net.Conn) { answer(conn, 200, "hello") })
		for range 20 {
			if status, _, _ := m.ask(get); status != 200 {
				t.Fatalf("got %d", status)
			}
		}
		if out := m.cluster.Ejected(time.Now()); out != 1 {
			t.Errorf("%d endpoints are out", out)
		}
	})
}

// The record says how much was sent, also of a body that a goroutine sends.
func TestHedgedBytes(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t, hedging(1), cluster.Config{}, 1)
			m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) { answer(conn, 200, "hello") })
			if _, _, info := m.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"); info.BytesReceived != 5 {
				t.Errorf("%d bytes were received", info.BytesReceived)
			}
		})
	}
}
