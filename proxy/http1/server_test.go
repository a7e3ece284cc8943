package http1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func ok(*stream.Request) (*stream.Response, error) { return &stream.Response{Status: 200}, nil }

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	var asked strings.Builder
	for i := range 50 {
		fmt.Fprintf(&asked, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, i*40, strings.Repeat("x", i*40))
	}
	answer, seen := exchange(t, Config{}, echo, asked.String())
	r := bufio.NewReader(strings.NewReader(answer))
	for i := range 50 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, _ := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("POST a /%d %q", i, strings.Repeat("x", i*40)); string(body) != want {
			t.Fatalf("answer %d: got %q", i, body)
		}
	}
	if len(seen.infos) != 50 {
		t.Errorf("%d requests noted", len(seen.infos))
	}
}

// A request that arrives byte by byte, however it is cut, is the same request.
func TestCutsChangeNothing(t *testing.T) {
	text := crlf("POST /x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5;a=b\nhello\n3\n wo\n0\nX-T: 1\n\nGET /y HTTP/1.1\nHost: a\nConnection: close\n\n")
	want, _ := exchange(t, Config{}, echo, text)
	if !strings.Contains(want, `"hello wo"`) || !strings.Contains(want, "GET a /y") {
		t.Fatalf("got %q", want)
	}
	for cut := 1; cut < len(text); cut++ {
		synctest.Test(t, func(t *testing.T) {
			conn, _, _ := serve(t, Config{}, echo)
			go func() {
				_, _ = io.WriteString(conn, text[:cut])
				synctest.Wait()
				_, _ = io.WriteString(conn, text[cut:])
			}()
			got, _ := io.ReadAll(conn)
			if string(got) != want {
				t.Fatalf("cut at %d: got %q", cut, got)
			}
		})
	}
}

func TestTimeoutsFallExactly(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    Config
		send   string
		after  time.Duration
		answer string
	}{
		"idle from the start":     {Config{IdleTimeout: 8 * time.Second}, "", 8 * time.Second, ""},
		"head takes too long":     {Config{HeadTimeout: 5 * time.Second}, "GET / HTTP/1.1\r\nHost: a\r\n", 5 * time.Second, "HTTP/1.1 408 "},
		"idle behind a request":   {Config{IdleTimeout: 8 * time.Second}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 8 * time.Second, "HTTP/1.1 200 "},
		"nothing moves in a body": {Config{StreamIdleTimeout: 10 * time.Second, IdleTimeout: time.Second}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", 0, "HTTP/1.1 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				conn, _, _ := serve(t, tc.cfg, echo)
				_, _ = io.WriteString(conn, tc.send)
				answer, _ := io.ReadAll(conn)
				took := time.Since(start)
				if !strings.HasPrefix(string(answer), tc.answer) || (tc.answer == "") != (len(answer) == 0) {
					t.Errorf("got %q", answer)
				}
				// Looks for idleness come at intervals; the others are exact.
				if tc.after > 0 && took != tc.after && took != tc.after+lingerTime || tc.after == 0 && (took < 10*time.Second || took > 14*time.Second) {
					t.Errorf("took %v; want %v", took, tc.after)
				}
			})
		})
	}
}

func TestContinueIsSentWhenTheBodyIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, echo)
		r := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, crlf("POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 5\n\n"))
		if line, _ := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q", line)
		}
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(conn, "hello")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 || resp.Close {
			t.Fatalf("got %v, %v", resp, err)
		}
	})
	// A client that was never told to send its body must not have its next bytes
	// taken for it, nor for a request.
	answer, _ := exchange(t, Config{}, ok, crlf("POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 36\n\n"))
	if strings.Count(answer, "HTTP/1.1 ") != 1 || !strings.Contains(answer, "connection: close") {
		t.Errorf("got %q", answer)
	}
}

func TestUnreadBodyIsNeverARequest(t *testing.T) {
	inner := "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, framing := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(inner), inner),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
	} {
		answer, seen := exchange(t, Config{}, ok, "POST / HTTP/1.1\r\nHost: a\r\n"+framing+"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		if len(seen.infos) != 2 || strings.Count(answer, "HTTP/1.1 200") != 2 {
			t.Errorf("%d requests seen, answered %q", len(seen.infos), answer)
		}
	}
}

func TestBodylessAnswers(t *testing.T) {
	for _, tc := range []struct {
		method string
		resp   stream.Response
		want   string
	}{
		{"HEAD", stream.Response{Status: 200, Length: 5, Body: stream.NewBytes([]byte("hello"))}, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
		{"GET", stream.Response{Status: 204, Length: 5, Body: stream.NewBytes([]byte("hello"))}, "HTTP/1.1 204 No Content\r\n\r\n"},
		{"GET", stream.Response{Status: 304}, "HTTP/1.1 304 Not Modified\r\n\r\n"},
		{"GET", stream.Response{Status: 200}, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
		{"GET", stream.Response{Status: 200, Length: stream.Unknown, Body: stream.NewBytes([]byte("hello"))}, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"GET", stream.Response{Status: 799}, "HTTP/1.1 799 Unknown\r\ncontent-length: 0\r\n\r\n"},
	} {
		answer, _ := exchange(t, Config{}, func(*stream.Request) (*stream.Response, error) { return &tc.resp, nil }, tc.method+" / HTTP/1.1\r\nHost: a\r\n\r\n")
		if answer != tc.want {
			t.Errorf("%s %d: got %q; want %q", tc.method, tc.resp.Status, answer, tc.want)
		}
	}
}

func TestOldClients(t *testing.T) {
	cfg := Config{AcceptHTTP10: true}
	unknown := func(*stream.Request) (*stream.Response, error) {
		return &stream.Response{Status: 200, Length: stream.Unknown, Body: stream.NewBytes([]byte("hello"))}, nil
	}
	for _, tc := range []struct {
		name    string
		handler handlerFunc
		fields  string
		want    string
	}{
		{"closes by default", ok, "", "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"},
		{"keeps alive when asked", ok, "Connection: keep-alive\r\n", "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n"},
		{"unknown length ends with the connection", unknown, "Connection: keep-alive\r\n", "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhello"},
	} {
		if answer, _ := exchange(t, cfg, tc.handler, "GET / HTTP/1.0\r\n"+tc.fields+"\r\n"); answer != tc.want {
			t.Errorf("%s: got %q", tc.name, answer)
		}
	}
}

// A request of HTTP/1.0 may name no host: then it is for the default one.
func TestDefaultHost(t *testing.T) {
	for request, want := range map[string]string{"GET / HTTP/1.0\r\n\r\n": "default", "GET / HTTP/1.0\r\nHost: own\r\n\r\n": "own", "GET / HTTP/1.1\r\nHost: own\r\n\r\n": "own", "GET / HTTP/1.1\r\n\r\n": ""} {
		var got string
		_, _ = exchange(t, Config{AcceptHTTP10: true, DefaultHost: "default"}, func(req *stream.Request) (*stream.Response, error) {
			got = strings.Clone(req.Authority)
			return ok(req)
		}, request)
		if got != want {
			t.Errorf("%q: for %q; want %q", request, got, want)
		}
	}
}

// RFC 9113 section 5.4.1, in the client's own protocol: HTTP_1_1_REQUIRED.
func TestHTTP2IsToldToGoAway(t *testing.T) {
	answer, seen := exchange(t, Config{}, ok, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if answer != goAway || len(seen.infos) != 1 || seen.infos[0].Details != "http2_not_supported" {
		t.Errorf("got %q, noted %+v", answer, seen.infos)
	}
}

func TestDrainEndsConnectionsWithTheirRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, drain := serve(t, Config{}, ok)
		r := bufio.NewReader(conn)
		ask := func() *http.Response {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		if ask().Close {
			t.Error("closed before the drain")
		}
		close(drain)
		if !ask().Close {
			t.Error("a draining connection was kept")
		}
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("got %v; want the end", err)
		}
	})
}

// held answers when the request is given up.
type held struct{ gone chan struct{} }

func (h held) Interrupt() { close(h.gone) }

func TestClientThatLeavesIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := held{make(chan struct{})}
		conn, seen, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
			req.Waiting.On(h)
			<-h.gone
			req.Waiting.Off()
			return nil, &stream.Refusal{Flags: req.Waiting.Abandoned(), Details: "downstream_remote_disconnect"}
		})
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(300 * time.Millisecond) // mesh time
		start := time.Now()
		conn.Close()
		<-h.gone
		synctest.Wait()
		if took := time.Since(start); took > lastLook || len(seen.infos) != 1 || seen.infos[0].Flags != stream.DownstreamTermination || seen.infos[0].Status != 0 {
			t.Errorf("noticed after %v, noted %+v", took, seen.infos)
		}
	})
}

// Over a real socket the end of a client is seen behind bytes that it has sent
// before.
func TestGoneSeesTheEndBehindData(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if gone(conn) {
		t.Error("a quiet client counts as gone")
	}
	_, _ = io.WriteString(client, "pipelined")
	client.Close()
	for end := time.Now().Add(5 * time.Second); !gone(conn); {
		if time.Now().After(end) {
			t.Fatal("the end was not seen")
		}
	}
}

// trickle is content that goes on for ever.
type trickle struct{ *stream.Bytes }

func (b trickle) Wait() error {
	time.Sleep(100 * time.Millisecond)
	*b.Bytes = *stream.NewBytes([]byte("drop"))
	return nil
}
func (trickle) Complete() bool { return false }

// What goes on for ever ends at the limit of a request, counted from its own
// beginning.
func TestStreamDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{StreamDuration: 3 * time.Second, StreamIdleTimeout: time.Hour}, func(req *stream.Request) (*stream.Response, error) {
			if req.Path == "/long" {
				return &stream.Response{Status: 200, Length: stream.Unknown, Body: trickle{stream.NewBytes(nil)}}, nil
			}
			return ok(req)
		})
		r := bufio.NewReader(conn)
		for range 3 {
			time.Sleep(10 * time.Second)
			_, _ = io.WriteString(conn, crlf("GET / HTTP/1.1\nHost: a\n\n"))
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
				t.Fatalf("got %v, %v", resp, err)
			} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2900 * time.Millisecond)
		start := time.Now()
		_, _ = io.WriteString(conn, crlf("GET /long HTTP/1.1\nHost: a\n\n"))
		answer, _ := io.ReadAll(r)
		if took := time.Since(start); took < 3*time.Second || took > 3200*time.Millisecond || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("ended after %v: %q", took, answer)
		}
		synctest.Wait()
		if last := seen.infos[len(seen.infos)-1]; last.Details != "max_duration_timeout" || last.Flags != 0 || len(seen.infos) != 4 {
			t.Errorf("noted %+v", last)
		}
		conn, seen, _ = serve(t, Config{StreamDuration: 3 * time.Second}, func(req *stream.Request) (*stream.Response, error) {
			near, far := memnet.Pipe(clientAddress, serverAddress)
			t.Cleanup(func() { far.Close() })
			return &stream.Response{Status: 101, Upgrade: req.Upgrade, Upgraded: near}, nil
		})
		start = time.Now()
		_, _ = io.WriteString(conn, crlf("GET /up HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket\n\n"))
		_, _ = io.ReadAll(conn)
		synctest.Wait()
		if took := time.Since(start); took != 3*time.Second || len(seen.infos) != 1 || seen.infos[0].Details != "max_duration_timeout" {
			t.Errorf("the upgrade ended after %v: %+v", took, seen.infos)
		}
	})
}

// A route's limit holds for its request instead of the listener's, and only for it.
func TestBound(t *testing.T) {
	for _, listener := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			conn, _, _ := serve(t, Config{StreamDuration: listener, StreamIdleTimeout: time.Hour}, func(req *stream.Request) (*stream.Response, error) {
				if req.Limit != listener || req.Info.Limit != listener {
					t.Errorf("begins with %v and %v; want %v", req.Limit, req.Info.Limit, listener)
				}
				if limit, err := time.ParseDuration(req.Path[1:]); err == nil {
					time.Sleep(500 * time.Millisecond) // the limit counts from the beginning
					req.Bound(limit)
				}
				if req.Waiting.Pause(5 * time.Second) {
					return ok(req)
				}
				return nil, req.GivenUp()
			})
			defer conn.Close()
			r := bufio.NewReader(conn)
			for _, tc := range []struct {
				path   string
				took   time.Duration
				status int
			}{{"/10s", 5500 * time.Millisecond, 200}, {"/0s", 5500 * time.Millisecond, 200}, {"/1s", time.Second, 504}} {
				start := time.Now()
				_, _ = io.WriteString(conn, crlf("GET "+tc.path+" HTTP/1.1\nHost: a\n\n"))
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.ReadAll(resp.Body)
				if took := time.Since(start); resp.StatusCode != tc.status || took != tc.took {
					t.Errorf("%s: got %d after %v; want %d after %v", tc.path, resp.StatusCode, took, tc.status, tc.took)
				}
			}
		})
	}
}

// A request may rest as long as its handler says, and not much longer; the next one as
// long as the listener says.
func TestBoundIdle(t *testing.T) {
	for _, tc := range []struct {
		listener, own time.Duration
		path          string
	}{{0, time.Second, "/1s"}, {0, 0, "/0s"}, {3 * time.Second, time.Second, "/1s"}, {3 * time.Second, 5 * time.Second, "/5s"}, {3 * time.Second, 0, "/0s"}} {
		listener := tc.listener
		synctest.Test(t, func(t *testing.T) {
			conn, _, _ := serve(t, Config{StreamIdleTimeout: listener}, func(req *stream.Request) (*stream.Response, error) {
				if req.Idle != listener || req.Info.Idle != listener {
					t.Errorf("begins with %v and %v; want %v", req.Idle, req.Info.Idle, listener)
				}
				if idle, err := time.ParseDuration(req.Path[1:]); err == nil {
					req.BoundIdle(idle)
				}
				if req.Waiting.Pause(8 * time.Second) {
					return ok(req)
				}
				return nil, req.GivenUp()
			})
			defer conn.Close()
			r := bufio.NewReader(conn)
			for _, path := range []string{tc.path, "/"} {
				want := tc.own
				if path == "/" {
					want = listener
				}
				status, least, most := 504, want, want*5/4+firstLook
				if path == "/" {
					most += lastLook // the first look is one for the request before
				}
				if want == 0 {
					status, least, most = 200, 8*time.Second, 8*time.Second
				}
				start := time.Now()
				_, _ = io.WriteString(conn, crlf("GET "+path+" HTTP/1.1\nHost: a\n\n"))
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.ReadAll(resp.Body)
				if took := time.Since(start); resp.StatusCode != status || took < least || took > most {
					t.Errorf("%s, %v: got %d after %v; want %d after %v to %v", path, listener, resp.StatusCode, took, status, least, most)
				}
				if status != 200 {
					return // the connection ends
				}
			}
		})
	}
}

// A connection ends with the last request that it may have.
func TestMaxRequests(t *testing.T) {
	answer, _ := exchange(t, Config{MaxRequests: 2}, echo, strings.Repeat(crlf("GET /a HTTP/1.1\nHost: a\n\n"), 3))
	if parts := strings.Split(answer, "HTTP/1.1 200"); len(parts) != 3 || strings.Contains(parts[1], "connection: close") || !strings.Contains(parts[2], "connection: close\r\n") {
		t.Errorf("got %q", answer)
	}
}

// Under pressure a connection ends with its request, and says so.
func TestLast(t *testing.T) {
	answer, _ := exchange(t, Config{Last: func() bool { return true }}, echo, crlf("GET /a HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\nHost: a\n\n"))
	if strings.Count(answer, "HTTP/1.1 200") != 1 || !strings.Contains(answer, "connection: close\r\n") {
		t.Errorf("got %q", answer)
	}
}

// A client that is answered before it has sent everything is told that the connection
// ends, unless the rest has arrived: it is not to send its next request there.
func TestUnreadContentEndsTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		closes  bool
	}{
		"all there":          {"Content-Length: 3\r\n\r\nabc", false},
		"all there, chunked": {"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", false},
		"nothing there":      {"Content-Length: 3\r\n\r\n", true},
		"a part":             {"Content-Length: 100000\r\n\r\nabc", true},
		"a part, chunked":    {"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nb", true},
		"not asked for":      {"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, _, _ := serve(t, Config{}, func(*stream.Request) (*stream.Response, error) { return nil, stream.Refuse(403, "", "no") })
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\n"+tc.content)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || resp.StatusCode != 403 || resp.Close != tc.closes {
					t.Fatalf("got %+v, %v; want an end: %v", resp, err, tc.closes)
				}
			})
		})
	}
}
