package router

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// RFC 9110 section 15.2: "A proxy MUST forward 1xx responses". As Envoy we do so with
// early hints, where interim responses are passed on at all, and not to HTTP/1.0.
func TestEarlyHints(t *testing.T) {
	for name, tc := range map[string]struct {
		config  http1.Config
		request string
		hint    bool
	}{
		"passed on":   {http1.Config{Proxy100Continue: true}, get, true},
		"not wanted":  {http1.Config{}, get, false},
		"to HTTP/1.0": {http1.Config{Proxy100Continue: true, AcceptHTTP10: true}, "GET / HTTP/1.0\r\nHost: a\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, route.Forward{}, cluster.Config{}, 1)
				m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
					_, _ = io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
					time.Sleep(time.Second)
					answer(conn, 200, "hello")
				})
				h := cluster.NewHandle("up")
				h.Store(m.cluster)
				router := New(route.Forward{Clusters: []route.Weighted{{Cluster: h}}}, Options{Suppress: true})
				near, far := memnet.Pipe(netip.MustParseAddrPort("10.1.0.1:1000"), netip.MustParseAddrPort("10.1.0.2:80"))
				m.wait.Go(func() {
					http1.NewServer(tc.config, router, &seen{requests: m.infos}).Serve(far, &stream.Conn{Start: time.Now()}, nil)
				})
				start := time.Now()
				_, _ = io.WriteString(near, tc.request)
				r := bufio.NewReader(near)
				for _, want := range []struct {
					status int
					after  time.Duration
				}{{103, 0}, {200, time.Second}} {
					if want.status == 103 && !tc.hint {
						continue
					}
					resp, err := http.ReadResponse(r, nil)
					if err != nil || resp.StatusCode != want.status || time.Since(start) != want.after || want.status == 103 && resp.Header.Get("Link") != "</a>" {
						t.Fatalf("got %+v, %v after %v; want %d after %v", resp, err, time.Since(start), want.status, want.after)
					}
					_, _ = io.ReadAll(resp.Body)
				}
				near.Close()
				if sent := (<-m.infos).DownstreamBytes.Sent; sent < 70 == tc.hint {
					t.Errorf("%d bytes were counted", sent)
				}
			})
		})
	}
}
