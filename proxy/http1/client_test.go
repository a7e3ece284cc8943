package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// upstreamSays makes one exchange with an upstream that answers with text and
// then ends its direction.
func upstreamSays(t *testing.T, req *stream.Request, text string) (status int, body string, reusable bool, err error) {
	t.Helper()
	near, far := memnet.Pipe(clientAddress, serverAddress)
	defer near.Close()
	defer far.Close()
	_, _ = io.WriteString(far, text)
	_ = far.CloseWrite()
	req.Info = &stream.Info{}
	c := NewClient(near, Limits{})
	resp, err := c.RoundTrip(req, time.Time{})
	if err != nil {
		return 0, "", false, err
	}
	var all []byte
	if resp.Body != nil {
		if all, err = readAll(resp.Body); err != nil {
			return resp.Status, string(all), false, err
		}
	}
	return resp.Status, string(all), c.Finish(), nil
}

// The framing of answers, RFC 9112 section 6.3, and whether the connection may
// carry another request: a wrong guess would give one client another's answer.
func TestAnswersEndWhereTheyEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		method, answer string
		status         int // 0: an error
		body           string
		reusable       bool
	}{
		"length":                  {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, "hello", true},
		"chunked":                 {"GET", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", 200, "hello", true},
		"until close":             {"GET", "HTTP/1.1 200 OK\n\nhello", 200, "hello", false},
		"connection close":        {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello", 200, "hello", false},
		"HTTP/1.0":                {"GET", "HTTP/1.0 200 OK\nContent-Length: 5\n\nhello", 200, "hello", false},
		"HTTP/1.0 keep-alive":     {"GET", "HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive\n\nhello", 200, "hello", true},
		"HEAD with length":        {"HEAD", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", 200, "", true},
		"HEAD chunked":            {"HEAD", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", 200, "", true},
		"204":                     {"GET", "HTTP/1.1 204 No Content\n\n", 204, "", true},
		"204 with a body":         {"GET", "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello", 204, "", false},
		"304 with length":         {"GET", "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", 304, "", true},
		"bytes behind the answer": {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhelloHTTP/1.1 200 OK\n\n", 200, "hello", false},
		"interim answers":         {"GET", "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n", 200, "", true},
		"no reason phrase":        {"GET", "HTTP/1.1 200\nContent-Length: 0\n\n", 200, "", true},
		"CL and TE":               {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n", 0, "", false},
		"two CL":                  {"GET", "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello", 0, "", false},
		"TE gzip":                 {"GET", "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nhello", 0, "", false},
		"an upgrade nobody asked": {"GET", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n", 0, "", false},
		"status with two digits":  {"GET", "HTTP/1.1 20 OK\n\n", 0, "", false},
		"status with four digits": {"GET", "HTTP/1.1 2000 OK\n\n", 0, "", false},
		"status in letters":       {"GET", "HTTP/1.1 2OO OK\n\n", 0, "", false},
		"obs-fold":                {"GET", "HTTP/1.1 200 OK\nX: 1\n 2\nContent-Length: 0\n\n", 0, "", false},
		"no HTTP":                 {"GET", "SSH-2.0-OpenSSH_9.2\n\n", 0, "", false},
		"cut in the head":         {"GET", "HTTP/1.1 200 OK\nContent-Le", 0, "", false},
		"nothing":                 {"GET", "", 0, "", false},
	} {
		req := &stream.Request{Method: tc.method, Path: "/", Authority: "a"}
		status, body, reusable, err := upstreamSays(t, req, crlf(tc.answer))
		if status != tc.status || body != tc.body || reusable != tc.reusable || (err != nil) != (tc.status == 0) {
			t.Errorf("%s: got %d %q, reusable %v, %v; want %d %q, %v", name, status, body, reusable, err, tc.status, tc.body, tc.reusable)
		}
	}
	for name, answer := range map[string]string{
		"length": "HTTP/1.1 200 OK\nContent-Length: 10\n\nhello",
		"chunk":  "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhel",
		"last":   "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n",
	} {
		if _, _, _, err := upstreamSays(t, &stream.Request{Method: "GET", Path: "/", Authority: "a"}, crlf(answer)); !errors.Is(err, errAnswerCut) {
			t.Errorf("cut body by %s: got %v", name, err)
		}
	}
}

// pulled is a body that comes in pieces, with a time between them.
type pulled struct {
	pieces []string
	every  time.Duration
	fail   error
	have   []byte
}

func (p *pulled) Read(b []byte) (int, error) {
	if err := p.Wait(); err != nil {
		return 0, err
	}
	if p.Complete() {
		return 0, io.EOF
	}
	n := copy(b, p.have)
	p.have = p.have[n:]
	return n, nil
}

func (p *pulled) Wait() error {
	if len(p.have) == 0 && len(p.pieces) > 0 {
		time.Sleep(p.every)
		p.have, p.pieces = []byte(p.pieces[0]), p.pieces[1:]
	} else if len(p.have) == 0 && p.fail != nil {
		return p.fail
	}
	return nil
}
func (p *pulled) Buffered() []byte       { return p.have }
func (p *pulled) Discard(n int)          { p.have = p.have[n:] }
func (p *pulled) Complete() bool         { return len(p.have) == 0 && len(p.pieces) == 0 && p.fail == nil }
func (*pulled) Trailers() *stream.Header { return nil }

// The time for an answer begins when the request has been sent: a slow client
// is not the upstream's fault.
func TestDeadlineBeginsBehindTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe(clientAddress, serverAddress)
		defer far.Close()
		got := make(chan string)
		go func() {
			all := make([]byte, 4096)
			total := 0
			for !bytes.HasSuffix(all[:total], []byte("0\r\n\r\n")) {
				n, _ := far.Read(all[total:])
				total += n
			}
			got <- string(all[:total])
		}()
		c := NewClient(near, Limits{})
		req := &stream.Request{Method: "POST", Path: "/", Authority: "a", Info: &stream.Info{}, Length: stream.Unknown,
			Body: &pulled{pieces: []string{"a", "b", "c"}, every: 10 * time.Second}}
		start := time.Now()
		_, err := c.RoundTrip(req, start.Add(2*time.Second))
		if took := time.Since(start); err == nil || took != 32*time.Second {
			t.Errorf("got %v after %v; want a timeout 2s behind the body", err, took)
		}
		near.Close()
		req.Upload.Wait()
		if text := <-got; !strings.Contains(text, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n") {
			t.Errorf("sent %q", text)
		}
	})
}

func TestClientThatBreaksOffItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := memnet.Pipe(clientAddress, serverAddress)
		defer far.Close()
		c := NewClient(near, Limits{})
		req := &stream.Request{Method: "POST", Path: "/", Authority: "a", Info: &stream.Info{}, Length: 100,
			Body: &pulled{pieces: []string{"a"}, every: time.Second, fail: io.ErrUnexpectedEOF}}
		if _, err := c.RoundTrip(req, time.Time{}); !stream.IsSource(err) {
			t.Errorf("got %v; want the failure of the client's side", err)
		}
		req.Upload.Wait()
	})
}

func TestLargeBodiesPassWithFewReads(t *testing.T) {
	body := strings.Repeat("x", 4<<20)
	near, far := memnet.Pipe(clientAddress, serverAddress)
	go func() {
		_, _ = fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}()
	c := NewClient(near, Limits{})
	resp, err := c.RoundTrip(&stream.Request{Method: "GET", Path: "/", Authority: "a", Info: &stream.Info{}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	pieces, total := 0, 0
	for !resp.Body.Complete() {
		if err := resp.Body.Wait(); err != nil {
			t.Fatal(err)
		}
		pieces, total = pieces+1, total+len(resp.Body.Buffered())
		resp.Body.Discard(len(resp.Body.Buffered()))
	}
	if total != len(body) || pieces > len(body)/(16<<10) || !c.Finish() || c.in.buf != nil {
		t.Errorf("%d bytes in %d pieces; buffer of %d kept", total, pieces, len(c.in.buf))
	}
}

// An exchange that is interrupted before it begins does not, and no deadline that
// is set later undoes that.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, before := range []bool{true, false} {
			near, far := memnet.Pipe(clientAddress, serverAddress)
			c := NewClient(near, Limits{})
			if before {
				c.Interrupt()
			} else {
				time.AfterFunc(time.Second, func() {
					c.Interrupt()
					c.SetDeadline(time.Now().Add(time.Hour))
				})
			}
			start := time.Now()
			req := &stream.Request{Method: "GET", Path: "/", Info: &stream.Info{}}
			if _, err := c.RoundTrip(req, start.Add(time.Minute)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); before && took != 0 || !before && took != time.Second {
				t.Errorf("ended after %v", took)
			}
			near.Close()
			far.Close()
		}
	})
}

// Whatever a target or a host was made of, such as a value of a PROXY header, it adds
// nothing to the request.
func TestTargetsAreWords(t *testing.T) {
	for name, req := range map[string]*stream.Request{
		"path":   {Method: "GET", Path: "/ HTTP/1.1\r\nX-Admin: 1\r\n", Authority: "a"},
		"space":  {Method: "GET", Path: "/ HTTP/1.1", Authority: "a"},
		"host":   {Method: "GET", Path: "/", Authority: "a\r\nX-Admin: 1"},
		"tunnel": {Method: stream.Connect, Upgrade: stream.Connect, Authority: "a:80 HTTP/1.1\r\nX-Admin: 1\r\n"},
	} {
		near, far := memnet.Pipe(clientAddress, serverAddress)
		req.Info = &stream.Info{}
		c := NewClient(near, Limits{})
		if _, err := c.RoundTrip(req, time.Now().Add(time.Second)); !stream.IsSyntax(err) {
			t.Errorf("%s: got %v", name, err)
		}
		near.Close()
		if said, _ := io.ReadAll(far); len(said) > 0 {
			t.Errorf("%s: said %q", name, said)
		}
		far.Close()
	}
}
