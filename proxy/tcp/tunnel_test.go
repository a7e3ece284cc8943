package tcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/router"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// reached is a cluster of one endpoint, spoken to over a version of HTTP.
func reached(t *testing.T, n *memnet.Net, address string, version int) *cluster.Handle {
	cfg := cluster.Config{Name: "up", Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort(address)}}}
	if version == 2 {
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
	return h
}

// posting is an entrance before an exit that speaks a version of HTTP, before what
// listens on 10.0.0.2:9000. Its answers are handled by then.
func posting(t *testing.T, n *memnet.Net, version int, then stream.Filter) (*memnet.Conn, *story, chan struct{}) {
	end := router.New(route.Forward{Terminate: true, TerminatePost: true, Timeout: time.Second, Clusters: []route.Weighted{{Cluster: reached(t, n, "10.0.0.2:9000", 1)}}}, router.Options{Suppress: true})
	handler := stream.Chain(end, then)
	first, second := http1.NewServer(http1.Config{}, handler, nil), http2.NewServer(http2.Config{}, handler, nil)
	serve(t, n, "10.0.0.1:80", func(conn net.Conn) {
		facts := &stream.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Start: time.Now()}
		if version == 2 {
			second.Serve(conn, facts, nil)
		} else {
			first.Serve(conn, facts, nil)
		}
	})
	handle := router.New(route.Forward{Clusters: []route.Weighted{{Cluster: reached(t, n, "10.0.0.1:80", version)}}}, router.Options{Suppress: true})
	return through(t, Config{Tunnel: &Tunnel{Handler: handle, Post: "/bytes", Headers: true, Trailers: true, Prepare: func(req *stream.Request) { req.Authority = "db:5432" }}}, n.Dial)
}

// answers changes what a tunnel is answered.
type answers func(req *stream.Request, resp *stream.Response)

func (a answers) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	resp, err := next.Handle(req)
	if err == nil {
		a(req, resp)
	}
	return resp, err
}

var _ stream.Filter = answers(nil)

// Bytes go both ways in a POST, for longer than a request may take, and each
// direction ends by itself.
func TestPostCarriesBytes(t *testing.T) {
	for _, version := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			serve(t, n, "10.0.0.2:9000", func(c net.Conn) {
				_, _ = io.Copy(c, c)
				_, _ = io.WriteString(c, "bye")
				c.Close()
			})
			var asked string
			conn, s, over := posting(t, n, version, answers(func(req *stream.Request, resp *stream.Response) {
				asked = fmt.Sprint(req.Method, " ", req.Authority, req.Path, " ", req.Length)
				resp.Header.Add("X-Told", "<yes>")
			}))
			large := strings.Repeat("0123456789", 50_000)
			for _, text := range []string{"hello", large} {
				time.Sleep(time.Minute)
				go func() { _, _ = io.WriteString(conn, text) }()
				got := make([]byte, len(text))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
					t.Fatalf("HTTP/%d: %d bytes, %v", version, len(got), err)
				}
			}
			_ = conn.CloseWrite()
			if rest, err := io.ReadAll(conn); string(rest) != "bye" || err != nil {
				t.Errorf("HTTP/%d: at the end %q, %v", version, rest, err)
			}
			<-over
			if s.info.Flags != 0 || s.info.BytesReceived != int64(5+len(large)) || s.info.BytesSent != int64(8+len(large)) {
				t.Errorf("HTTP/%d: %+v", version, s.info)
			}
			if asked != "POST db:5432/bytes -1" {
				t.Errorf("HTTP/%d: the exit was asked %s", version, asked)
			}
			if got := s.conn.State[HeadersState]; got != `{"headers":[{"key":":status","value":"200"},{"key":"x-told","value":"\u003cyes\u003e"}]}` {
				t.Errorf("HTTP/%d: kept %s", version, got)
			}
		})
	}
}

// What one side breaks off ends the other one, and nothing is left over.
func TestPostThatIsBrokenOff(t *testing.T) {
	for _, version := range []int{1, 2} {
		for name, tc := range map[string]struct {
			endpoint func(net.Conn)
			client   func(*memnet.Conn)
		}{
			"the endpoint ends":     {func(c net.Conn) { _, _ = io.WriteString(c, "bye"); c.Close() }, func(*memnet.Conn) {}},
			"the endpoint breaks":   {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); c.Close() }, func(*memnet.Conn) {}},
			"the client breaks off": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() }, func(c *memnet.Conn) { c.Close() }},
		} {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New()
				served := make(chan struct{})
				serve(t, n, "10.0.0.2:9000", func(c net.Conn) { tc.endpoint(c); close(served) })
				conn, _, over := posting(t, n, version, answers(func(*stream.Request, *stream.Response) {}))
				written := make(chan struct{})
				go func() { // more than anybody takes
					defer close(written)
					for {
						if _, err := conn.Write(make([]byte, 10_000)); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				time.Sleep(time.Second)
				tc.client(conn)
				<-served
				_, _ = io.Copy(io.Discard, conn)
				start := time.Now()
				<-over
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("HTTP/%d, %s: ended %v later", version, name, took)
				}
				conn.Close()
				<-written
			})
		}
	}
}

// An answer that is none ends the connection, which notes it.
func TestPostThatIsRefused(t *testing.T) {
	for _, version := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			serve(t, n, "10.0.0.2:9000", func(c net.Conn) { c.Close() })
			conn, s, over := posting(t, n, version, answers(func(_ *stream.Request, resp *stream.Response) { resp.Status = 404 }))
			if got, _ := io.ReadAll(conn); len(got) > 0 {
				t.Errorf("HTTP/%d: got %q", version, got)
			}
			<-over
			if s.info.Flags != stream.UpstreamFailure|stream.RetryLimit || s.info.UpstreamFailure != "tunnel_response:404" {
				t.Errorf("HTTP/%d: %v, %s", version, s.info.Flags, s.info.UpstreamFailure)
			}
		})
	}
}

// A piece that its reader may still be sending is not the writer's any more, however
// the exchange ends.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed()
		piece := []byte("first")
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
		copy(piece, "WRONG")
		written := make(chan error)
		go func() {
			_, err := f.Write([]byte("second"))
			written <- err
		}()
		synctest.Wait()
		reading := f.Buffered()
		f.abort()
		if err := <-written; !errors.Is(err, errAborted) {
			t.Errorf("the write ends with %v", err)
		}
		if string(reading) != "first" || f.Complete() {
			t.Errorf("read %q, complete %v", reading, f.Complete())
		}
		f = newFeed()
		_, _ = f.Write([]byte("all"))
		f.end()
		f.abort()
		if got, err := io.ReadAll(f); string(got) != "all" || err != nil {
			t.Errorf("what was ended before is %q, %v", got, err)
		}
	})
}

// handled is a far end of tunnels that answers at once.
type handled struct{ answer *stream.Response }

func (h handled) Handle(req *stream.Request) (*stream.Response, error) {
	req.Upload.Go(func() { _, _ = io.Copy(io.Discard, req.Body) })
	return h.answer, nil
}

// trailed is content that has ended, with fields behind it.
type trailed struct {
	*feed
	fields stream.Header
}

func (b *trailed) Trailers() *stream.Header { return &b.fields }

type settled struct{}

func (settled) Settle()      {}
func (settled) Release(bool) {}

// The fields behind an answer are kept where they are asked for.
func TestTrailersOfTunnels(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			body := &trailed{feed: newFeed()}
			body.fields.Add("x-sum", "1")
			body.end()
			conn, s, over := through(t, Config{Tunnel: &Tunnel{Post: "/", Trailers: wanted, Prepare: func(*stream.Request) {}, Handler: handled{&stream.Response{Status: 200, Body: body, Done: settled{}}}}}, nil)
			_ = conn.CloseWrite()
			<-over
			want := ""
			if wanted {
				want = `{"headers":[{"key":"x-sum","value":"1"}]}`
			}
			if got := s.conn.State[TrailersState]; got != want {
				t.Errorf("kept %s; want %s", got, want)
			}
		})
	}
}

// An endpoint that cannot be had is tried for again, as often as is said.
func TestTunnelsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		conn, s, over := through(t, Config{ConnectAttempts: 3, Tunnel: &Tunnel{Post: "/", Prepare: func(*stream.Request) { tries++ }, Handler: handled{&stream.Response{Status: 503, Done: settled{}}}}}, nil)
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("got %q", got)
		}
		<-over
		if tries != 3 || s.info.UpstreamFailure != "tunnel_response:503" {
			t.Errorf("%d tries, %s", tries, s.info.UpstreamFailure)
		}
	})
}
