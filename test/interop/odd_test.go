package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

var oddities = flag.Int("oddities", 3000, "how many requests meet odd upstreams and services")

// Whatever upstreams answer, and those who are asked about requests, and whatever
// clients ask for: it is a matter of that request. The proxy goes on, behind every
// filter that there is.
func TestOddAnswersEndNothing(t *testing.T) {
	odd := newOdd(t)
	for _, services := range []services{newServices(t), {address: odd}} {
		_, port, _ := net.SplitHostPort(odd)
		up := upstreams{v1: &backend{name: "v1", port: port}, v2: &backend{name: "v2", port: port}, services: services, proxied: odd}
		p := start(t, "lateen", runOurs, up.bootstrap)
		asks := make(chan int)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				clients := [2]*http.Client{oddClient(false), oddClient(true)}
				for seed := range asks {
					r := rand.New(rand.NewPCG(uint64(seed), 0))
					askOddly(r, clients[r.IntN(2)], p.address)
				}
			})
		}
		for seed := range *oddities / 2 {
			asks <- seed
		}
		close(asks)
		all.Wait()
		resp, err := http.Get("http://" + p.address + "/")
		if err != nil {
			t.Fatal("the proxy answers no more:", err)
		}
		resp.Body.Close()
	}
}

// oddClient waits for nothing long.
func oddClient(h2 bool) *http.Client {
	c := &http.Client{Timeout: 200 * time.Millisecond, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if h2 {
		c.Transport = &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	}
	return c
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// askOddly sends a request of the stories, often with something more.
func askOddly(r *rand.Rand, client *http.Client, address string) {
	s := stories[r.IntN(len(stories))]
	a := s.asks[r.IntN(len(s.asks))]
	method, body := a.method, a.body
	if r.IntN(4) == 0 {
		method = pick(r, "GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE")
	}
	if r.IntN(4) == 0 {
		body = strings.Repeat("x", pick(r, 1, 5, 70_000))
	}
	req, err := http.NewRequest(method, "http://"+address+a.path, strings.NewReader(body))
	if err != nil {
		return
	}
	req.Host = s.name
	for _, line := range append(a.headers, oddFields(r)...) {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	if r.IntN(4) == 0 {
		req.ContentLength, req.Trailer = -1, http.Header{"X-Trailer": {"1"}}
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// oddFields are some that make filters do something.
func oddFields(r *rand.Rand) (lines []string) {
	for range r.IntN(4) {
		lines = append(lines, pick(r,
			"Content-Type: application/grpc", "Content-Type: application/grpc-web", "Content-Type: application/grpc-web-text", "Content-Type: application/json", "Content-Encoding: gzip", "Te: trailers",
			"Upgrade: websocket", "Connection: upgrade", "Expect: 100-continue", "Accept-Encoding: gzip, br, zstd", "Accept: application/grpc-web-text", "Grpc-Timeout: 1m", "Origin: http://web.example",
			"Authorization: Bearer a.b.c", "Range: bytes=0-1", "Cookie: a=b; session=\"x\"", "X-Envoy-Max-Retries: 3", "X-Envoy-Retry-On: 5xx,gateway-error,connect-failure,retriable-4xx", "X-Envoy-Hedge-On-Per-Try-Timeout: true",
			"X-Envoy-Upstream-Rq-Timeout-Ms: 50", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 5", "X-Envoy-Fault-Abort-Request: 418", "X-Forwarded-For: not an address", "Traceparent: 00-x", "Cache-Control: no-transform"))
	}
	return lines
}

// newOdd is an upstream that answers as it likes, by HTTP/1.1 and by HTTP/2.
func newOdd(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for seed := uint64(0); ; seed++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveOddly(rand.New(rand.NewPCG(seed, 1)), conn)
		}
	}()
	return listener.Addr().String()
}

func serveOddly(r *rand.Rand, conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if head, _ := in.Peek(3); string(head) == "PRI" {
		var mu sync.Mutex // guards r
		(&http2.Server{}).ServeConn(&peeked{conn, in}, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			answerOddly(r, w, req)
		})})
		return
	}
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, io.LimitReader(req.Body, 1<<20)); err != nil {
			return
		}
		text, last := oddText(r)
		if _, err := conn.Write(text); err != nil || last {
			return
		}
	}
}

// peeked is a connection whose first bytes have been looked at.
type peeked struct {
	net.Conn
	in *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.in.Read(b) }

// oddHead is a status and fields of an answer.
func oddHead(r *rand.Rand) (status int, lines []string) {
	status = pick(r, 200, 200, 200, 204, 206, 301, 302, 304, 401, 403, 404, 409, 429, 500, 503)
	for range r.IntN(5) {
		lines = append(lines, pick(r,
			"content-type: application/grpc", "content-type: application/grpc+proto", "content-type: application/json", "content-type: text/html; charset=utf-8", "content-type:", "content-encoding: gzip", "content-encoding: br",
			"grpc-status: 0", "grpc-status: 14", "grpc-status: x", "grpc-message: %zz", "location: /", "location: http://v1/redirect/302?to=/", "location: ://", "etag: \"a\"", "vary: *", "retry-after: 1", "set-cookie: session=x", "cache-control: no-transform",
			"x-envoy-overloaded: true", "x-envoy-ratelimited: true", "x-envoy-immediate-health-check-fail: true", "x-envoy-upstream-canary: true", "endpoint-load-metrics: JSON x", "trailer: x-trailer", "connection: x-a", "server:", "date: yesterday"))
	}
	return status, lines
}

// oddText is an answer by HTTP/1.1; with last the connection ends behind it.
func oddText(r *rand.Rand) (text []byte, last bool) {
	var b bytes.Buffer
	if r.IntN(6) == 0 {
		fmt.Fprintf(&b, "HTTP/1.1 %s\r\nx-early: 1\r\n\r\n", pick(r, "100 Continue", "103 Early Hints", "101 Switching Protocols"))
	}
	status, lines := oddHead(r)
	fmt.Fprintf(&b, "HTTP/1.1 %d Odd\r\n", status)
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	content := strings.Repeat("x", pick(r, 0, 1, 7, 40, 70_000))
	switch r.IntN(6) {
	case 0:
		b.WriteString("\r\n")
		return b.Bytes(), true
	case 1:
		b.WriteString("\r\n" + content)
		return b.Bytes(), true
	case 2:
		fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(content)+1, content)
		return b.Bytes(), true
	case 3:
		fmt.Fprintf(&b, "transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n", len(content)+1, content+"x", pick(r, "", "grpc-status: 0\r\n", "x-trailer: 1\r\n"))
	case 4:
		b.WriteString(pick(r, "transfer-encoding: chunked\r\n\r\nzz\r\n", "content-length: x\r\n\r\n", "broken\r\n\r\n", "\r\nbroken"))
		return b.Bytes(), true
	default:
		fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(content), content)
	}
	return b.Bytes(), false
}

// answerOddly answers by HTTP/2.
func answerOddly(r *rand.Rand, w http.ResponseWriter, req *http.Request) {
	if r.IntN(2) == 0 {
		_, _ = io.Copy(io.Discard, req.Body)
	}
	status, lines := oddHead(r)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		w.Header().Add(name, strings.TrimSpace(value))
	}
	if r.IntN(3) == 0 {
		w.Header().Set(http.TrailerPrefix+"grpc-status", pick(r, "0", "13", ""))
	}
	w.WriteHeader(status)
	switch r.IntN(5) {
	case 0:
	case 1:
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 1, 2})
	case 2:
		_, _ = w.Write([]byte{1, 255, 255, 255, 255})
	case 3:
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write([]byte(strings.Repeat("x", 70_000)))
	}
}
