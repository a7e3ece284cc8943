package http1

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

var (
	clientAddress = netip.MustParseAddrPort("10.0.0.1:1000")
	serverAddress = netip.MustParseAddrPort("10.0.0.2:80")
)

type handlerFunc func(*stream.Request) (*stream.Response, error)

func (f handlerFunc) Handle(req *stream.Request) (*stream.Response, error) { return f(req) }

// echo answers with what it was asked.
func echo(req *stream.Request) (*stream.Response, error) {
	body := ""
	if req.Body != nil {
		all, err := readAll(req.Body)
		if err != nil {
			return nil, stream.Refuse(400, "body", err.Error())
		}
		body = string(all)
	}
	text := fmt.Sprintf("%s %s %s %q", req.Method, req.Authority, req.Path, body)
	return &stream.Response{Status: 200, Body: stream.NewBytes([]byte(text)), Length: int64(len(text))}, nil
}

func readAll(b stream.Body) ([]byte, error) {
	return io.ReadAll(struct{ io.Reader }{b})
}

// noted keeps what the observer was told.
type noted struct {
	stream.RequestsOnly
	infos []stream.Info
}

func (n *noted) Request(req *stream.Request, _ *stream.Response) {
	n.infos = append(n.infos, *req.Info)
}

// serve runs a server on one end of a connection and gives the other.
func serve(t testing.TB, cfg Config, h handlerFunc) (*memnet.Conn, *noted, chan struct{}) {
	t.Helper()
	near, far := memnet.Pipe(clientAddress, serverAddress)
	seen := &noted{}
	drain := make(chan struct{})
	ended := make(chan struct{})
	server := NewServer(cfg, h, seen)
	go func() {
		defer close(ended)
		server.Serve(far, &stream.Conn{Local: serverAddress, Remote: clientAddress, Original: serverAddress, Start: time.Now()}, drain)
	}()
	t.Cleanup(func() {
		near.Close()
		<-ended
	})
	return near, seen, drain
}

// exchange sends text, ends its direction, and returns all that comes back.
func exchange(t testing.TB, cfg Config, h handlerFunc, text string) (string, *noted) {
	t.Helper()
	conn, seen, _ := serve(t, cfg, h)
	go func() {
		_, _ = io.WriteString(conn, text)
		_ = conn.CloseWrite()
	}()
	answer, _ := io.ReadAll(conn)
	return string(answer), seen
}

// crlf makes a head of readable text: each line break becomes CR LF.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
