package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// sizes are those of bodies: none, within a frame, a frame exactly, beyond a
// stream's first window, beyond ours.
var sizes = []int{0, 1, 16 << 10, 70_000, 3 << 20}

func sample(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7 / 3)
	}
	return p
}

// Another implementation's client is served, with bodies of every size, with
// and without an announced length.
func TestServerBeforeAnotherClient(t *testing.T) {
	for _, size := range sizes {
		for _, announced := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				conn, _, _ := serve(t, Config{}, echo)
				tr := &oracle.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) { return conn, nil }}
				defer tr.CloseIdleConnections()
				want := sample(size)
				var body io.Reader = bytes.NewReader(want)
				if !announced {
					body = struct{ io.Reader }{body}
				}
				req, _ := http.NewRequest("POST", "http://a.example/x?y=1", body)
				sum := "" // that client sends no trailers without a body
				if size > 0 {
					sum, req.Trailer = "7", http.Header{"X-Sum": {"7"}}
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("size %d: got %d bytes, %v", size, len(got), err)
				}
				if resp.Header.Get("x-path") != "/x?y=1" || resp.Header.Get("x-authority") != "a.example" || resp.Trailer.Get("x-sum") != sum {
					t.Errorf("got %v, trailers %v", resp.Header, resp.Trailer)
				}
			})
		}
	}
}

// echoHTTP is echo in another implementation.
var echoHTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-path", r.URL.RequestURI())
	w.Header().Set("trailer", "x-sum")
	w.WriteHeader(200)
	_, _ = io.Copy(w, r.Body)
	w.Header().Set("x-sum", r.Trailer.Get("x-sum"))
})

// Another implementation's server is asked, and our own.
func TestClientBeforeServers(t *testing.T) {
	for name, peer := range map[string]func(net.Conn){"another": another(echoHTTP), "ours": ours(Config{}, echo)} {
		for _, size := range sizes {
			for _, streamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, size, streamed), func(t *testing.T) {
					c := connected(t, Config{}, peer)
					want := sample(size)
					req := &stream.Request{Method: "POST", Authority: "a.example", Path: "/x?y=1"}
					if req.Length = int64(size); size > 0 || streamed {
						req.Body = stream.NewBytes(want)
					}
					if streamed {
						req.Length = stream.Unknown
					}
					resp, got, err := send(t, c, req, time.Time{})
					if err != nil || got != string(want) || resp.Status != 200 || resp.Header.Get("x-path") != "/x?y=1" {
						t.Errorf("got %d bytes, %+v, %v", len(got), resp, err)
					}
					if req.Info.BytesReceived != int64(size) {
						t.Errorf("%d bytes noted; want %d", req.Info.BytesReceived, size)
					}
				})
			}
		}
	}
}

// Many requests share a connection, far beyond what is allowed at a time.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changed := make(chan struct{}, 1)
		c := connected(t, Config{}, ours(Config{MaxStreams: 10}, echo))
		c.Changed = func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		synctest.Wait() // the server's settings have come
		left := make(chan error, 200)
		for i := range 200 {
			go func() {
				for !c.Reserve() {
					<-changed
				}
				e := c.Exchange()
				defer e.Finish()
				text := strings.Repeat("x", i*50)
				resp, err := e.RoundTrip(&stream.Request{Method: "POST", Authority: "a", Path: "/", Body: stream.NewBytes([]byte(text)), Length: int64(len(text)), Info: &stream.Info{}}, time.Time{})
				if err == nil {
					var got []byte
					if got, err = readAll(resp.Body); string(got) != text {
						err = errors.Join(err, fmt.Errorf("got %d bytes", len(got)))
					}
				}
				left <- err
			}()
		}
		for range 200 {
			if err := <-left; err != nil {
				t.Error(err)
			}
		}
	})
}

// A stream that is over for the client does not count against its limit, even if
// the handler of it is still busy.
func TestStreamsThatAreOverDoNotCount(t *testing.T) {
	for _, over := range []string{"answered", "reset"} {
		t.Run(over, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				busy := make(chan struct{})
				c := connected(t, Config{}, ours(Config{MaxStreams: 1}, func(req *stream.Request) (*stream.Response, error) {
					switch {
					case req.Path == "/last":
					case over == "answered":
						req.Upload.Go(func() { <-busy })
					default:
						<-busy
					}
					return &stream.Response{Status: 200}, nil
				}))
				synctest.Wait() // the server's settings have come
				_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Now().Add(time.Second))
				if over == "answered" && err != nil {
					t.Fatal(err)
				}
				resp, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/last"}, time.Time{})
				if err != nil || resp.Status != 200 {
					t.Errorf("the next stream: %+v, %v", resp, err)
				}
				close(busy)
			})
		})
	}
}

// An exchange that is interrupted before it begins does not.
func TestInterruptedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, Config{}, ours(Config{}, echo))
		c.Reserve()
		e := c.Exchange()
		e.Interrupt()
		req := &stream.Request{Method: "GET", Authority: "a", Path: "/", Info: &stream.Info{}}
		if _, err := e.RoundTrip(req, time.Now().Add(time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		e.Finish()
		if resp, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Time{}); err != nil || resp.Status != 200 {
			t.Errorf("the next one: %v", err)
		}
	})
}

// The time for an answer falls exactly, and the server learns of it.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan time.Duration, 1)
		start := time.Now()
		c := connected(t, Config{}, ours(Config{}, func(req *stream.Request) (*stream.Response, error) {
			given := make(chan struct{})
			req.Waiting.On(interrupter(func() { close(given) }))
			<-given
			gone <- time.Since(start)
			return nil, &stream.Refusal{}
		}))
		_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, start.Add(3*time.Second))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if took := <-gone; took != 3*time.Second {
			t.Errorf("the server learned of it after %v", took)
		}
		if c.Places() != 0 || !c.Reserve() {
			t.Error("the place was not given back")
		}
	})
}

// RFC 9113 section 8.7: "The REFUSED_STREAM error code [...] indicates that the
// stream is being closed prior to any processing having occurred."
func TestResetsAreTold(t *testing.T) {
	for code, unprocessed := range map[oracle.ErrCode]bool{oracle.ErrCodeRefusedStream: true, oracle.ErrCodeInternal: false} {
		synctest.Test(t, func(t *testing.T) {
			c := connected(t, Config{}, func(conn net.Conn) {
				f := oracle.NewFramer(conn, conn)
				_, _ = io.ReadFull(conn, make([]byte, len(preface)))
				_ = f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if h, ok := frame.(*oracle.HeadersFrame); ok {
						_ = f.WriteRSTStream(h.StreamID, code)
					}
				}
			})
			_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Time{})
			var reset *stream.ResetError
			if !errors.As(err, &reset) || reset.Unprocessed != unprocessed {
				t.Errorf("%v: got %v", code, err)
			}
		})
	}
}

// RFC 9113 section 6.8: streams above the last one of a GOAWAY may be made again
// elsewhere, the others go on.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, func(conn net.Conn) {
			framer = oracle.NewFramer(conn, conn)
			_, _ = io.ReadFull(conn, make([]byte, len(preface)))
			_ = framer.WriteSettings()
			_, _ = io.Copy(io.Discard, conn)
		})
		outcomes := make(chan error, 2)
		for range 2 {
			go func() {
				_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Time{})
				outcomes <- err
			}()
			synctest.Wait()
		}
		_ = framer.WriteGoAway(1, oracle.ErrCodeNo, nil)
		var reset *stream.ResetError
		if err := <-outcomes; !errors.As(err, &reset) || !reset.Unprocessed {
			t.Errorf("the second: got %v", err)
		}
		if c.Reserve() || c.Usable() {
			t.Error("more may be begun")
		}
		_ = framer.WriteRawFrame(oracle.FrameHeaders, oracle.FlagHeadersEndHeaders|oracle.FlagHeadersEndStream, 1, []byte{0x88})
		if err := <-outcomes; err != nil {
			t.Errorf("the first: got %v", err)
		}
	})
}

// draining is a connection that drains while the request of its first stream waits to
// be released.
func draining(t *testing.T) (r *raw, release chan struct{}) {
	release = make(chan struct{})
	conn, _, drain := serve(t, Config{}, func(*stream.Request) (*stream.Response, error) {
		<-release
		return &stream.Response{Status: 200}, nil
	})
	r = newRaw(t, conn)
	r.headers(1, true, get...)
	synctest.Wait()
	close(drain)
	return r, release
}

// A drain loses no request: what the client has begun before it knew is served.
func TestDrainServesWhatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, release := draining(t)
		if f, ok := r.next().(*oracle.GoAwayFrame); !ok || f.LastStreamID != maxID {
			t.Fatalf("got %v", f)
		}
		ping, ok := r.next().(*oracle.PingFrame)
		if !ok {
			t.Fatal("no PING behind the first GOAWAY")
		}
		r.headers(3, true, get...)
		r.must(r.framer.WritePing(true, ping.Data))
		if f, ok := r.next().(*oracle.GoAwayFrame); !ok || f.LastStreamID != 3 {
			t.Fatalf("got %v", f)
		}
		close(release)
		for range 2 {
			if f, ok := r.next().(*oracle.MetaHeadersFrame); !ok || !f.StreamEnded() {
				t.Fatalf("got %v", f)
			}
		}
		if f := r.next(); f != nil {
			t.Errorf("got %v; want the end", f)
		}
	})
}

// A client that goes away, or resets its stream, ends the request upstream.
func TestClientGone(t *testing.T) {
	for name, leave := range map[string]func(*raw){
		"reset": func(r *raw) { r.must(r.framer.WriteRSTStream(1, oracle.ErrCodeCancel)) },
		"close": func(r *raw) { r.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				given := make(chan struct{})
				conn, seen, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
					req.Waiting.On(interrupter(func() { close(given) }))
					<-given
					return nil, &stream.Refusal{Details: "downstream_remote_disconnect", Flags: stream.DownstreamTermination}
				})
				r := newRaw(t, conn)
				r.headers(1, true, get...)
				synctest.Wait()
				leave(r)
				<-given
				synctest.Wait()
				if infos := seen.all(); len(infos) != 1 || infos[0].Flags != stream.DownstreamTermination || infos[0].Status != 0 {
					t.Errorf("noted %+v", infos)
				}
			})
		})
	}
}

type interrupter func()

func (f interrupter) Interrupt() { f() }

// A 100 is sent when the body is wanted, and other interim responses as they come.
func TestInterimResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, Config{}, ours(Config{}, func(req *stream.Request) (*stream.Response, error) {
			var early stream.Header
			early.Add("link", "</a.css>")
			if err := req.Interim(103, &early); err != nil {
				return nil, err
			}
			return &stream.Response{Status: 200}, nil
		}))
		var got []int
		req := &stream.Request{Method: "GET", Authority: "a", Path: "/", Interim: func(status int, h *stream.Header) error {
			if h.Get("link") != "" {
				got = append(got, status)
			}
			return nil
		}}
		if _, _, err := send(t, c, req, time.Time{}); err != nil || len(got) != 1 || got[0] != 103 {
			t.Errorf("got %v, %v", got, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
			all, err := readAll(req.Body)
			return &stream.Response{Status: 200, Body: stream.NewBytes(all), Length: int64(len(all))}, err
		})
		r := newRaw(t, conn)
		r.headers(1, false, with(post, "expect", "100-continue")...)
		for _, status := range []string{"100", "200"} {
			if f, ok := r.next().(*oracle.MetaHeadersFrame); !ok || f.PseudoValue("status") != status {
				t.Fatalf("got %v; want %s", f, status)
			}
			if status == "100" {
				r.must(r.framer.WriteData(1, true, []byte("hello")))
			}
		}
		if f, ok := r.next().(*oracle.DataFrame); !ok || string(f.Data()) != "hello" {
			t.Errorf("got %v", f)
		}
	})
}

// An extended CONNECT (RFC 8441) is an upgrade on both sides.
func TestWebSocketBetweenOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, Config{}, ours(Config{Upgrades: []string{"websocket"}}, func(req *stream.Request) (*stream.Response, error) {
			if req.Upgrade != "websocket" || req.Method != "GET" {
				return nil, stream.Refuse(400, "x", req.Upgrade+" "+req.Method)
			}
			near, far := net.Pipe()
			go func() {
				p := make([]byte, 5)
				_, _ = io.ReadFull(far, p)
				_, _ = far.Write(bytes.ToUpper(p))
				far.Close()
			}()
			return &stream.Response{Status: 101, Upgrade: "websocket", Upgraded: near}, nil
		}))
		synctest.Wait()
		c.Reserve()
		e := c.Exchange()
		defer e.Finish()
		resp, err := e.RoundTrip(&stream.Request{Method: "GET", Authority: "a", Path: "/ws", Upgrade: "websocket", Info: &stream.Info{}}, time.Time{})
		if err != nil || resp.Upgraded == nil || resp.Status != 101 {
			t.Fatalf("got %+v, %v", resp, err)
		}
		_, _ = io.WriteString(resp.Upgraded, "hello")
		if got, err := io.ReadAll(resp.Upgraded); string(got) != "HELLO" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// Timeouts fall within an eighth of their length.
func TestIdleConnectionsAndStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{IdleTimeout: 8 * time.Second}, echo)
		r := newRaw(t, conn)
		start := time.Now()
		f, ok := r.next().(*oracle.GoAwayFrame)
		if took := time.Since(start); !ok || f.ErrCode != oracle.ErrCodeNo || took < 8*time.Second || took > 10*time.Second {
			t.Errorf("got %v after %v", f, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{StreamIdleTimeout: 8 * time.Second}, func(req *stream.Request) (*stream.Response, error) {
			_, err := readAll(req.Body)
			if err != nil {
				return nil, &stream.Refusal{Status: 408, Flags: stream.StreamIdleTimeout, Details: "stream_idle_timeout"}
			}
			return &stream.Response{Status: 200}, nil
		})
		r := newRaw(t, conn)
		start := time.Now()
		r.headers(1, false, post...)
		f, ok := r.next().(*oracle.MetaHeadersFrame)
		if took := time.Since(start); !ok || f.PseudoValue("status") != "408" || took < 8*time.Second || took > 10*time.Second {
			t.Errorf("got %v after %v", f, took)
		}
		synctest.Wait()
		if infos := seen.all(); len(infos) != 1 || infos[0].Flags&stream.StreamIdleTimeout == 0 {
			t.Errorf("noted %+v", infos)
		}
	})
}

// A peer that does not answer a keepalive PING is given up.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := connected(t, Config{Keepalive: 10 * time.Second, KeepaliveTimeout: 5 * time.Second}, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Time{})
		if took := time.Since(start); err == nil || took < 15*time.Second || took > 18*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestAllocations(t *testing.T) {
	if race {
		t.Skip("allocations are not the same under the race detector")
	}
	resp := stream.Response{Status: 200, Length: stream.Unknown}
	c := connected(t, Config{}, ours(Config{}, func(req *stream.Request) (*stream.Response, error) {
		resp.Body = req.Body
		return &resp, nil
	}))
	body := sample(1 << 10)
	req := &stream.Request{Method: "POST", Authority: "a", Path: "/x", Info: &stream.Info{}, Length: int64(len(body))}
	req.Header.Add("content-type", "application/grpc")
	memory := stream.NewBytes(nil)
	once := func() {
		*memory = *stream.NewBytes(body)
		req.Body = memory
		if !c.Reserve() {
			t.Fatal("no place")
		}
		e := c.Exchange()
		defer e.Finish()
		got, err := e.RoundTrip(req, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for !got.Body.Complete() {
			if err := got.Body.Wait(); err != nil {
				t.Fatal(err)
			}
			got.Body.Discard(len(got.Body.Buffered()))
		}
	}
	for range 100 {
		once()
	}
	// Client and server together: the budget of a proxy between the two.
	if n := testing.AllocsPerRun(1000, once); n > 4 {
		t.Errorf("%.1f allocations a request; want at most 4", n)
	}
}

// tailed is a body whose trailers come behind content of an announced length.
type tailed struct {
	*stream.Bytes
	trailers stream.Header
}

func (b *tailed) Trailers() *stream.Header           { return &b.trailers }
func (b *tailed) Last() (last, known bool)           { return false, true }
func (b *tailed) Announced() (length int64, ok bool) { return 5, true }

// Trailers behind content whose length was announced arrive, also when somebody
// has looked at the content.
func TestTrailersBehindAnnouncedContent(t *testing.T) {
	for _, looked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := connected(t, Config{}, ours(Config{}, echo))
			body := &tailed{Bytes: stream.NewBytes([]byte("hello"))}
			body.trailers.Add("x-sum", "5")
			req := &stream.Request{Method: "POST", Authority: "a", Path: "/", Body: body, Length: 5, Info: &stream.Info{}}
			if looked {
				if _, _, err := stream.Peek(req, 100); err != nil {
					t.Fatal(err)
				}
			}
			resp, text, err := send(t, c, req, time.Time{})
			if err != nil || text != "hello" {
				t.Fatalf("got %q, %v", text, err)
			}
			if resp.Header.Get("trailer-x-sum") != "5" {
				t.Errorf("looked at %v: the trailers were lost", looked)
			}
		})
	}
}

// A stream that takes longer than it may is answered, or cut off.
func TestStreamDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{StreamDuration: 8 * time.Second}, func(req *stream.Request) (*stream.Response, error) {
			if _, err := readAll(req.Body); err != nil {
				return nil, req.GivenUp()
			}
			return &stream.Response{Status: 200}, nil
		})
		r := newRaw(t, conn)
		r.settle()
		start := time.Now()
		r.headers(1, false, post...)
		go func() {
			for range 100 {
				time.Sleep(100 * time.Millisecond)
				if r.framer.WriteData(1, false, []byte("x")) != nil {
					return
				}
			}
		}()
		f, ok := r.next().(*oracle.MetaHeadersFrame)
		if took := time.Since(start); !ok || f.PseudoValue("status") != "408" || took < 8*time.Second || took > 9*time.Second {
			t.Errorf("got %v after %v", f, took)
		}
		conn.Close()
		time.Sleep(10 * time.Second)
		if infos := seen.all(); len(infos) != 1 || infos[0].Details != "max_duration_timeout" || infos[0].Flags != 0 {
			t.Errorf("noted %+v", infos)
		}
	})
}

// A route's limit holds instead of the listener's, to the moment.
func TestBound(t *testing.T) {
	for limit, want := range map[time.Duration]struct {
		status string
		took   time.Duration
	}{time.Second: {"504", time.Second}, 10 * time.Second: {"200", 5 * time.Second}, 0: {"200", 5 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			status, took := patient(t, Config{StreamDuration: 3 * time.Second}, 5*time.Second, func(req *stream.Request) { req.Bound(limit) })
			if status != want.status || took != want.took {
				t.Errorf("%v: got %s after %v; want %s after %v", limit, status, took, want.status, want.took)
			}
		})
	}
}

// patient tells what a request is answered whose handler bounds it and then takes some
// time, and when.
func patient(t *testing.T, cfg Config, takes time.Duration, bound func(*stream.Request)) (status string, took time.Duration) {
	t.Helper()
	conn, _, _ := serve(t, cfg, func(req *stream.Request) (*stream.Response, error) {
		bound(req)
		if req.Waiting.Pause(takes) {
			return &stream.Response{Status: 200}, nil
		}
		return nil, req.GivenUp()
	})
	r := newRaw(t, conn)
	r.settle()
	start := time.Now()
	r.headers(1, true, get...)
	f, ok := r.next().(*oracle.MetaHeadersFrame)
	took = time.Since(start)
	conn.Close()
	time.Sleep(20 * time.Second) // nothing is left that wakes late
	if !ok {
		return "none", took
	}
	return f.PseudoValue("status"), took
}

// A stream may rest as long as its handler says, whatever its listener does.
func TestBoundIdle(t *testing.T) {
	for idle, status := range map[time.Duration]string{time.Second: "504", 0: "200", 10 * time.Second: "200"} {
		synctest.Test(t, func(t *testing.T) {
			got, took := patient(t, Config{StreamIdleTimeout: 5 * time.Second}, 8*time.Second, func(req *stream.Request) { req.BoundIdle(idle) })
			if late := idle == time.Second && (took < idle || took > idle*5/4); got != status || late {
				t.Errorf("%v: got %s after %v; want %s", idle, got, took, status)
			}
		})
	}
}

// Behind the last stream that a connection may have no other is taken up.
func TestMaxRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{MaxRequests: 2}, ok)
		r := newRaw(t, conn)
		r.headers(1, true, get...)
		if f, ok := r.next().(*oracle.MetaHeadersFrame); !ok {
			t.Fatalf("got %v", f)
		}
		r.headers(3, true, get...)
		answered, last := 0, uint32(0)
		for f := r.next(); f != nil; f = r.next() {
			switch f := f.(type) {
			case *oracle.GoAwayFrame:
				last = f.LastStreamID
			case *oracle.PingFrame:
				r.must(r.framer.WritePing(true, f.Data))
			case *oracle.MetaHeadersFrame:
				answered++
			}
		}
		if answered != 1 || last != 3 || len(seen.all()) != 2 {
			t.Errorf("%d answered, last %d, noted %d", answered, last, len(seen.all()))
		}
	})
}

// Under pressure a connection takes no streams beyond those that it has.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{Last: func() bool { return true }}, ok)
		r := newRaw(t, conn)
		r.headers(1, true, get...)
		away := false
		for f := r.next(); f != nil; f = r.next() {
			switch f := f.(type) {
			case *oracle.GoAwayFrame:
				away = true
			case *oracle.PingFrame:
				r.must(r.framer.WritePing(true, f.Data))
			case *oracle.MetaHeadersFrame:
				if !away {
					t.Error("answered before the client was told to go away")
				}
			}
		}
		if !away {
			t.Error("the connection goes on")
		}
	})
}

// All frames of a stream are counted, and those of its fields apart.
func TestBytesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{}, echo)
		r := newRaw(t, conn)
		fields := []string{":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a"}
		r.headers(1, false, fields...)
		sent := r.block.Len() // what is encoded next stands behind it
		r.must(r.framer.WriteDataPadded(1, false, []byte("hello"), make([]byte, 10)))
		r.must(r.framer.WriteWindowUpdate(1, 1))
		r.must(r.framer.WriteData(1, true, nil))
		synctest.Wait()
		infos := seen.all()
		if len(infos) != 1 {
			t.Fatalf("%d requests were noted", len(infos))
		}
		got := infos[0].DownstreamBytes
		if want := int64(frameHead + sent); got.HeadReceived != want || got.Received != want+frameHead+1+5+10+frameHead+4+frameHead {
			t.Errorf("got %+v; want a head of %d", got, want)
		}
		if want := int64(len(":methodPOST:schemehttp:path/:authoritya")); got.PlainReceived != want {
			t.Errorf("the request's fields have %d bytes; want %d", got.PlainReceived, want)
		}
		if want := int64(len(":status200x-methodPOSTx-path/x-authoritya")); got.PlainSent != want || infos[0].ReplyHead != want {
			t.Errorf("the response's fields have %d bytes, its head %d; want %d", got.PlainSent, infos[0].ReplyHead, want)
		}
		if got.HeadSent <= frameHead || got.Sent != got.HeadSent+frameHead+5 {
			t.Errorf("sent %+v", got)
		}
	})
}

// When a request has come whole is noted, whoever reads it and whenever.
func TestArrival(t *testing.T) {
	for pause, want := range map[time.Duration]time.Duration{0: 0, time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			conn, seen, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
				req.Waiting.Pause(3 * time.Second)
				_, err := readAll(req.Body)
				return &stream.Response{Status: 200}, err
			})
			r := newRaw(t, conn)
			r.settle()
			r.headers(1, false, post...)
			time.Sleep(pause)
			r.must(r.framer.WriteData(1, true, []byte("x")))
			if f, ok := r.next().(*oracle.MetaHeadersFrame); !ok || f.PseudoValue("status") != "200" {
				t.Errorf("got %v", f)
			}
			synctest.Wait()
			infos := seen.all()
			if len(infos) != 1 || infos[0].RequestDone.Sub(infos[0].Start) != want {
				t.Errorf("whole after %v; want %v", infos[0].RequestDone.Sub(infos[0].Start), want)
			}
		})
	}
}
