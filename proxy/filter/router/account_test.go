package router

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// However exchanges end, on both sides and in whatever order, what they took of the
// circuit breaker and of their endpoints is given back.
func TestEverythingIsGivenBack(t *testing.T) {
	for name, policy := range map[string]route.Retry{
		"once":   {},
		"again":  {On: route.On5xx | route.OnReset | route.OnConnectFailure, Max: 3, PerTry: 40 * ms, BaseBackoff: 5 * ms},
		"idle":   {On: route.On5xx | route.OnReset, Max: 2, PerTryIdle: 30 * ms, BaseBackoff: 5 * ms},
		"hedged": {On: route.On5xx | route.OnReset, Max: 3, PerTry: 20 * ms, Hedge: true, BaseBackoff: 5 * ms},
	} {
		for _, in := range []int{1, 2} {
			for _, out := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s from HTTP/%d to HTTP/%d", name, in, out), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := newUnruly(t, route.Forward{Retry: &policy, Timeout: 100 * ms}, out)
						if in == 1 {
							m.connections(300)
						} else {
							m.streams(30)
						}
						m.wait.Wait()
						time.Sleep(10 * time.Second) // what is left behind ends
						synctest.Wait()
						m.settled()
					})
				})
			}
		}
	}
}

const ms = time.Millisecond

// unruly is a mesh whose clients and upstreams do what they like.
type unruly struct {
	*mesh
	router *Router
}

func newUnruly(t *testing.T, f route.Forward, out int) *unruly {
	cfg := cluster.Config{Limits: cluster.Limits{Connections: 6, Pending: 5, Requests: 20, Retries: 4, Track: true}}
	if out == 2 {
		cfg.Protocol, cfg.Carrier = cluster.HTTP2, carrier(3)
	}
	m := newMesh(t, f, cfg, 3)
	for _, address := range []string{"10.0.0.1:80", "10.0.0.2:80"} { // nobody is at the third
		if out == 1 {
			m.upstream(address, rude)
			continue
		}
		ending(t, m.net, address, func(conn net.Conn) {
			http2.NewServer(http2.Config{MaxRequests: 50}, handler(moody), nil).Serve(conn, &stream.Conn{Start: time.Now()}, nil)
		})
	}
	h := cluster.NewHandle("up")
	h.Store(m.cluster)
	f.Clusters = []route.Weighted{{Cluster: h}}
	return &unruly{m, New(f, Options{})}
}

// connections are clients that speak HTTP/1.1, for one request each.
func (m *unruly) connections(n int) {
	for range n {
		conn := m.client()
		request := get
		if n := rand.IntN(3); n > 0 {
			request = fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n%s", strings.Repeat("x", n*1500))
		}
		m.wait.Go(func() {
			_, _ = io.WriteString(conn, request)
			_ = conn.SetReadDeadline(time.Now().Add(some(150 * ms)))
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		})
		time.Sleep(some(6 * ms))
	}
}

// streams are clients that speak HTTP/2, for several requests each.
func (m *unruly) streams(n int) {
	for range n {
		near, far := memnet.Pipe(netip.MustParseAddrPort("10.1.0.1:1000"), netip.MustParseAddrPort("10.1.0.2:80"))
		drain := make(chan struct{})
		m.wait.Go(func() {
			http2.NewServer(http2.Config{StreamIdleTimeout: 100 * ms}, m.router, nil).Serve(far, &stream.Conn{Remote: netip.MustParseAddrPort("10.1.0.1:1000"), Start: time.Now()}, drain)
		})
		c := http2.NewClient(near, http2.Config{})
		m.wait.Go(c.Run)
		for range 20 {
			m.wait.Go(func() {
				time.Sleep(some(100 * ms))
				if c.Reserve() {
					exchangeOnce(c)
				}
			})
		}
		time.Sleep(20 * ms)
		m.wait.Go(func() {
			time.Sleep(some(200 * ms))
			if rand.IntN(2) == 0 {
				close(drain)
				time.Sleep(5 * time.Second)
			}
			near.Close()
		})
	}
}

// some is a random part of a time.
func some(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d))) }

// exchangeOnce makes a request whose content comes in pieces, or breaks off.
func exchangeOnce(c *http2.Client) {
	e := c.Exchange()
	defer e.Finish()
	req := &stream.Request{Method: "POST", Authority: "a", Path: "/", Info: &stream.Info{}, Conn: &stream.Conn{}}
	if rand.IntN(2) == 0 {
		req.Body, req.Length = &dripping{left: rand.IntN(6)}, stream.Unknown
	}
	deadline := time.Time{}
	if rand.IntN(2) == 0 {
		deadline = time.Now().Add(some(80 * ms))
	}
	resp, err := e.RoundTrip(req, deadline)
	if err == nil && resp.Body != nil {
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{resp.Body})
	}
	req.Upload.Wait()
}

// dripping is content that comes in so many pieces, if it does.
type dripping struct {
	stream.Bytes
	left int
}

func (d *dripping) Complete() bool { return d.left == 0 && d.Bytes.Complete() }

func (d *dripping) Wait() error {
	time.Sleep(some(20 * ms))
	if d.left--; rand.IntN(10) == 0 {
		return io.ErrUnexpectedEOF
	}
	d.Bytes = *stream.NewBytes(make([]byte, 700))
	return nil
}

// settled checks that nothing is under way any more.
func (m *unruly) settled() {
	m.Helper()
	open := int64(0)
	for _, h := range m.cluster.Hosts() {
		open += h.Pool().Open()
		if n := h.Active.Load(); n != 0 {
			m.Errorf("%v: %d requests", h.Address, n)
		}
	}
	left, _ := m.cluster.Default.Remaining()
	if want := (cluster.Remaining{Connections: 6 - open, Pending: 5, Requests: 20, Retries: 4}); left != want || m.cluster.Stats.CxActive.Load() != open {
		m.Errorf("left %+v with %d connections; want %+v", left, open, want)
	}
}

// rude is an upstream that does what it likes.
func rude(n int, req *http.Request, conn net.Conn) {
	time.Sleep(time.Duration(n%5) * 7 * time.Millisecond)
	switch n % 9 {
	case 0:
		conn.Close()
	case 1:
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConte")
		conn.Close()
	case 2:
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		time.Sleep(60 * time.Millisecond)
		conn.Close()
	case 3:
		answer(conn, 503, "no")
	case 4:
		time.Sleep(200 * time.Millisecond)
	case 5:
		_, _ = io.WriteString(conn, "nonsense\r\n\r\n")
	case 6:
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
		conn.Close()
	default:
		answer(conn, 200, "hello")
	}
}

// moody is a handler that does so.
func moody(req *stream.Request) (*stream.Response, error) {
	time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	switch rand.IntN(6) {
	case 0:
		return nil, &stream.Refusal{} // the stream is reset
	case 1:
		return nil, stream.Refuse(503, "", "no")
	case 2:
		time.Sleep(200 * time.Millisecond)
	case 3:
		if req.Body != nil {
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{req.Body})
		}
	}
	return &stream.Response{Status: 200, Body: stream.NewBytes([]byte("hello")), Length: 5}, nil
}
