package router

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

type handler func(*stream.Request) (*stream.Response, error)

func (h handler) Handle(req *stream.Request) (*stream.Response, error) { return h(req) }

// slowly answers after 9 seconds.
var slowly = handler(func(*stream.Request) (*stream.Response, error) {
	time.Sleep(9 * time.Second)
	return &stream.Response{Status: 200}, nil
})

// carrier speaks HTTP/2 with so many streams on a connection.
func carrier(streams uint32) func(net.Conn, func()) pool.Carrier {
	return func(conn net.Conn, changed func()) pool.Carrier {
		c := http2.NewClient(conn, http2.Config{MaxStreams: streams})
		c.Changed = changed
		return c
	}
}

// A request that waits for a connection, or for a place on one, leaves the queue with
// its client: it takes nobody's turn, and no connection from those that stay.
func TestWaitingEndsWithItsClient(t *testing.T) {
	for name, cfg := range map[string]cluster.Config{
		"for a connection": {},
		"for a place":      {Protocol: cluster.HTTP2, Carrier: carrier(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg.Limits = cluster.Limits{Connections: 1, Pending: 1}
				m := newMesh(t, route.Forward{}, cfg, 1)
				var upstream listener.Handler = http1.NewServer(http1.Config{}, slowly, nil)
				if cfg.Protocol == cluster.HTTP2 {
					upstream = http2.NewServer(http2.Config{}, slowly, nil)
				}
				ending(t, m.net, "10.0.0.1:80", func(conn net.Conn) { upstream.Serve(conn, &stream.Conn{Start: time.Now()}, nil) })
				first, impatient := m.client(), m.client()
				for _, conn := range []net.Conn{first, impatient} {
					_, _ = io.WriteString(conn, get)
					synctest.Wait()
				}
				impatient.Close()
				time.Sleep(3 * time.Second)
				select {
				case info := <-m.infos:
					if info.Flags != stream.DownstreamTermination || info.Status != 0 {
						t.Errorf("noted %v, status %d", info.Flags, info.Status)
					}
				default:
					t.Error("the request of a client that has gone still waits")
				}
				_, _, info := m.ask(get)
				if <-m.infos; info.Flags&stream.UpstreamOverflow != 0 {
					t.Errorf("noted %v: there is room in the queue", info.Flags)
				}
				if n := m.cluster.Stats.CxTotal.Load(); n != 1 {
					t.Errorf("%d connections were opened", n)
				}
			})
		})
	}
}

// Who opens a connection for several has no more time for that than its own request.
// When that is over the others do not fail with it.
func TestHastyRequestsSpoilNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		slow := func(ctx context.Context, network, address string, source net.Addr) (net.Conn, error) {
			select {
			case <-time.After(time.Second):
				return n.Dial(ctx, network, address, source)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		ending(t, n, "10.0.0.1:80", func(conn net.Conn) {
			http2.NewServer(http2.Config{}, slowly, nil).Serve(conn, &stream.Conn{Start: time.Now()}, nil)
		})
		c := cluster.New(&cluster.Config{Protocol: cluster.HTTP2, Carrier: carrier(100), Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.1:80")}}}, cluster.Deps{Dial: slow})
		defer c.Close()
		h := cluster.NewHandle("up")
		h.Store(c)
		got := make(chan int, 2)
		for _, limit := range []time.Duration{100 * time.Millisecond, time.Minute} {
			router := New(route.Forward{Clusters: []route.Weighted{{Cluster: h}}, Timeout: limit}, Options{})
			go func() {
				req := &stream.Request{Method: "GET", Authority: "a", Path: "/", Info: &stream.Info{}, Conn: &stream.Conn{}}
				resp, err := router.Handle(req)
				if err != nil {
					got <- stream.AsRefusal(err).Status
					return
				}
				got <- resp.Status
				resp.Done.Release(true)
			}()
			synctest.Wait()
		}
		if first, second := <-got, <-got; first != 504 || second != 200 {
			t.Errorf("got %d and %d; want the second one served", first, second)
		}
	})
}
