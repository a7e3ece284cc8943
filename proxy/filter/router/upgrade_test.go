package router

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// hop runs a proxy at an address, before what is at the next one; in and out say
// which version of HTTP is spoken on either side.
func hop(t *testing.T, n *memnet.Net, address, next string, f route.Forward, in, out int) {
	t.Helper()
	cfg := cluster.Config{Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort(next)}}}
	if out == 2 {
		cfg.Protocol = cluster.HTTP2
		cfg.Carrier = func(conn net.Conn, changed func()) pool.Carrier {
			c := http2.NewClient(conn, http2.Config{})
			c.Changed = changed
			return c
		}
	}
	c := cluster.New(&cfg, cluster.Deps{Dial: n.Dial})
	t.Cleanup(c.Close)
	h := cluster.NewHandle("up")
	h.Store(c)
	f.Clusters, f.Timeout = []route.Weighted{{Cluster: h}}, time.Second
	router := New(f, Options{Suppress: true})
	first, second := http1.NewServer(http1.Config{}, router, nil), http2.NewServer(http2.Config{Upgrades: []string{"websocket"}}, router, nil)
	ending(t, n, address, func(conn net.Conn) {
		facts := &stream.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort(address), Start: time.Now()}
		if in == 2 {
			second.Serve(conn, facts, nil)
		} else {
			first.Serve(conn, facts, nil)
		}
	})
}

// ending serves the connections to an address, and closes them.
func ending(t *testing.T, n *memnet.Net, address string, serve func(net.Conn)) {
	t.Helper()
	l, err := n.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accept.Each(l, func(conn net.Conn) {
		serve(conn)
		conn.Close()
	})
}

// talk opens a tunnel through the first hop, which speaks version in.
func talk(n *memnet.Net, address string, in int, req *stream.Request) (io.ReadWriteCloser, func(), error) {
	conn, err := n.Dial(context.Background(), "tcp", address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Info, req.Conn = &stream.Info{}, &stream.Conn{}
	if in == 1 {
		resp, err := http1.NewClient(conn, http1.Limits{}).RoundTrip(req, time.Time{})
		if err != nil || resp.Upgraded == nil {
			conn.Close()
			return nil, nil, errors.Join(err, fmt.Errorf("got %+v", resp))
		}
		return resp.Upgraded, func() { conn.Close() }, nil
	}
	c := http2.NewClient(conn, http2.Config{})
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run() }()
	synctest.Wait() // settings
	c.Reserve()
	e := c.Exchange()
	end := func() { e.Finish(); c.Shut(); conn.Close(); <-ended }
	resp, err := e.RoundTrip(req, time.Time{})
	if err != nil || resp.Upgraded == nil {
		end()
		return nil, nil, errors.Join(err, fmt.Errorf("got %+v", resp))
	}
	return resp.Upgraded, end, nil
}

// both says something, is answered after longer than a request may take, and ends.
func both(t *testing.T, tunnel io.ReadWriteCloser) {
	t.Helper()
	for _, text := range []string{"hello", "again"} {
		time.Sleep(time.Minute)
		if _, err := io.WriteString(tunnel, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(tunnel, got); err != nil || string(got) != text {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if half, ok := tunnel.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		t.Error("the tunnel cannot be ended")
	}
	if rest, err := io.ReadAll(tunnel); string(rest) != "bye" || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// echoing sends back what comes, and says goodbye.
func echoing(r io.Reader, conn net.Conn) {
	_, _ = io.Copy(conn, r)
	_, _ = io.WriteString(conn, "bye")
}

// WebSockets and tunnels go through two proxies, whatever versions of HTTP are
// spoken on the way, and no timeout of a request ends them.
func TestTunnelsAcrossVersions(t *testing.T) {
	for _, in := range []int{1, 2} {
		for _, between := range []int{1, 2} {
			t.Run(fmt.Sprintf("websocket/%d then %d", in, between), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := memnet.New()
					ending(t, n, "10.0.0.3:80", func(conn net.Conn) {
						r := bufio.NewReader(conn)
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						if req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" || req.Header.Get("Sec-WebSocket-Key") == "" || len(req.TransferEncoding) > 0 || req.URL.Path != "/chat" {
							t.Errorf("the upstream got %+v", req)
						}
						_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
						echoing(r, conn)
					})
					hop(t, n, "10.0.0.2:80", "10.0.0.3:80", route.Forward{}, between, 1)
					hop(t, n, "10.0.0.1:80", "10.0.0.2:80", route.Forward{}, in, between)
					tunnel, end, err := talk(n, "10.0.0.1:80", in, &stream.Request{Method: "GET", Scheme: "http", Authority: "shop", Path: "/chat", Upgrade: "websocket"})
					if err != nil {
						t.Fatal(err)
					}
					both(t, tunnel)
					end()
				})
			})
			t.Run(fmt.Sprintf("CONNECT/%d then %d", in, between), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := memnet.New()
					ending(t, n, "10.0.0.3:80", func(conn net.Conn) { echoing(conn, conn) })
					hop(t, n, "10.0.0.2:80", "10.0.0.3:80", route.Forward{Terminate: true}, between, 1)
					hop(t, n, "10.0.0.1:80", "10.0.0.2:80", route.Forward{}, in, between)
					tunnel, end, err := talk(n, "10.0.0.1:80", in, &stream.Request{Method: stream.Connect, Authority: "db:5432", Upgrade: stream.Connect})
					if err != nil {
						t.Fatal(err)
					}
					both(t, tunnel)
					end()
				})
			})
		}
	}
}

// A tunnel to where nobody is is refused, and its connection is not taken for
// another request's.
func TestTunnelToNobody(t *testing.T) {
	for _, in := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			hop(t, n, "10.0.0.1:80", "10.0.0.9:80", route.Forward{Terminate: true}, in, 1)
			conn, err := n.Dial(context.Background(), "tcp", "10.0.0.1:80", nil)
			if err != nil {
				t.Fatal(err)
			}
			if in == 1 {
				_, _ = io.WriteString(conn, "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
				got, err := io.ReadAll(conn)
				if resp, e := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil); err != nil || e != nil || resp.StatusCode != 503 || !resp.Close || int64(len(got)) > 1000 {
					t.Errorf("got %q, %v", got, err)
				}
			} else {
				conn.Close()
				if _, _, err := talk(n, "10.0.0.1:80", in, &stream.Request{Method: stream.Connect, Authority: "db:5432", Upgrade: stream.Connect}); err == nil {
					t.Error("a tunnel to nobody")
				}
				return
			}
			conn.Close()
		})
	}
}

// An endpoint is told of a tunnel's client before the tunnel's bytes.
func TestTunnelsAreIntroduced(t *testing.T) {
	for _, method := range []string{"CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n", "POST / HTTP/1.1\r\nHost: db\r\nTransfer-Encoding: chunked\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			got := make(chan string, 1)
			ending(t, n, "10.0.0.3:80", func(conn net.Conn) {
				p := make([]byte, 100)
				k, _ := conn.Read(p)
				got <- string(p[:k])
			})
			hop(t, n, "10.0.0.2:80", "10.0.0.3:80", route.Forward{Terminate: true, TerminatePost: true, Introduce: func(conn net.Conn, client *stream.Conn) error {
				_, err := io.WriteString(conn, "from "+client.Remote.String())
				return err
			}}, 1, 1)
			conn, err := n.Dial(context.Background(), "tcp", "10.0.0.2:80", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, method)
			if told := <-got; told != "from 192.0.2.1:1" {
				t.Errorf("the endpoint is told %q", told)
			}
			conn.Close()
		})
	}
}

// A request with content does not change the protocol: a server may ignore the wish
// (RFC 9110 section 7.8), and what follows its head would be content to one side and
// the other protocol to the other.
func TestContentDoesNotUpgrade(t *testing.T) {
	for name, request := range map[string]string{
		"length":  "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\ncon",
		"chunked": "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncon\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, route.Forward{}, cluster.Config{}, 1)
				m.upstream("10.0.0.1:80", func(_ int, req *http.Request, conn net.Conn) {
					if req.Header.Get("Upgrade") != "" {
						_, _ = io.WriteString(conn, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
					}
					answer(conn, 200, "")
				})
				conn := m.client()
				_, _ = io.WriteString(conn, request)
				synctest.Wait()
				_, _ = io.WriteString(conn, map[string]string{"length": "tent..", "chunked": "6\r\ntent..\r\n0\r\n\r\n"}[name])
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("got %v, %v; want an ordinary answer", resp, err)
				}
				if info := <-m.infos; info.BytesReceived != 9 {
					t.Errorf("%d bytes of content", info.BytesReceived)
				}
			})
		})
	}
}
