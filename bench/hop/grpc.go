package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// message is a gRPC message of 1 KB with its prefix.
var message = append([]byte{0, 0, 0, 4, 0}, body...)

// answerer answers every call with its own message.
type answerer struct{}

// Handle implements [stream.Handler].
func (answerer) Handle(req *stream.Request) (*stream.Response, error) {
	call, err := io.ReadAll(struct{ io.Reader }{req.Body})
	if err != nil {
		return nil, err
	}
	resp := &stream.Response{Status: 200, Length: stream.Unknown, Body: &reply1{stream.NewBytes(call)}}
	resp.Header.Add("content-type", "application/grpc")
	return resp, nil
}

// reply1 is a body with gRPC's trailers behind it.
type reply1 struct{ *stream.Bytes }

var success = func() *stream.Header {
	h := &stream.Header{}
	h.Add("grpc-status", "0")
	return h
}()

// Trailers implements [stream.Body].
func (*reply1) Trailers() *stream.Header { return success }

// serveGRPC serves calls in HTTP/2.
func serveGRPC() (net.Listener, error) {
	server := http2.NewServer(http2.Config{}, answerer{}, nil)
	return serve(func(conn net.Conn) { server.Serve(conn, &stream.Conn{}, nil) })
}

// h2load is nghttp2's load generator.
type h2load struct{ address string }

var served = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored`)

func (h h2load) run(d time.Duration) (int, error) {
	file := filepath.Join(os.TempDir(), "hop-message")
	if err := os.WriteFile(file, message, 0o600); err != nil {
		return 0, err
	}
	defer os.Remove(file)
	out, err := exec.Command("h2load", "-c", "4", "-m", "25", "-D", strconv.Itoa(max(1, int(d.Seconds()))), "-d", file,
		"-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "user-agent: grpc-go/1.80.0",
		"http://"+h.address+"/helloworld.Greeter/SayHello").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("h2load: %w: %s", err, out)
	}
	m := served.FindSubmatch(out)
	if m == nil || string(m[2]) != "0" || string(m[3]) != "0" {
		return 0, fmt.Errorf("h2load: %s", out)
	}
	return strconv.Atoi(string(m[1]))
}
