package router

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// However exchanges end, on both sides and in whatever order, what they took of the
// circuit breaker and of their endpoints is given back.
func TestEverythingIsGivenBack(t *testing.T) {
	const ms = time.Millisecond
	for name, policy := range map[string]route.Retry{
		"once":   {},
		"again":  {On: route.On5xx | route.OnReset | route.OnConnectFailure, Max: 3, PerTry: 40 * ms, BaseBackoff: 5 * ms},
		"idle":   {On: route.On5xx | route.OnReset, Max: 2, PerTryIdle: 30 * ms, BaseBackoff: 5 * ms},
		"hedged": {On: route.On5xx | route.OnReset, Max: 3, PerTry: 20 * ms, Hedge: true, BaseBackoff: 5 * ms},
	} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s over HTTP/%d", name, version), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(1, uint64(version)))
					limits := cluster.Limits{Connections: 6, Pending: 5, Requests: 20, Retries: 4, Track: true}
					cfg := cluster.Config{Limits: limits}
					if version == 2 {
						cfg.Protocol, cfg.Carrier = cluster.HTTP2, carrier(3)
					}
					m := newMesh(t, route.Forward{Retry: &policy, Timeout: 100 * ms}, cfg, 3)
					for _, address := range []string{"10.0.0.1:80", "10.0.0.2:80"} { // nobody is at the third
						if version == 2 {
							ending(t, m.net, address, func(conn net.Conn) {
								http2.NewServer(http2.Config{}, handler(moody), nil).Serve(conn, &stream.Conn{Start: time.Now()}, nil)
							})
						} else {
							m.upstream(address, rude)
						}
					}
					for range 300 {
						conn := m.client()
						leaves := time.Duration(random.IntN(150)) * ms
						request := get
						if n := random.IntN(3); n > 0 {
							request = fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n%s", strings.Repeat("x", n*1500))
						}
						m.wait.Go(func() {
							_, _ = io.WriteString(conn, request)
							_ = conn.SetReadDeadline(time.Now().Add(leaves))
							_, _ = io.Copy(io.Discard, conn)
							conn.Close()
						})
						time.Sleep(time.Duration(random.IntN(6)) * ms)
					}
					m.wait.Wait()
					time.Sleep(10 * time.Second) // what is left behind ends
					synctest.Wait()
					open := int64(0)
					for _, h := range m.cluster.Hosts() {
						open += h.Pool().Open()
						if n := h.Active.Load(); n != 0 {
							t.Errorf("%v: %d requests", h.Address, n)
						}
					}
					left, _ := m.cluster.Default.Remaining()
					if want := (cluster.Remaining{Connections: 6 - open, Pending: 5, Requests: 20, Retries: 4}); left != want || m.cluster.Stats.CxActive.Load() != open {
						t.Errorf("left %+v with %d connections; want %+v", left, open, want)
					}
				})
			})
		}
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
