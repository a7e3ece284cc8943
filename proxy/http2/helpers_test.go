package http2

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

var (
	clientAddress = netip.MustParseAddrPort("10.0.0.1:1000")
	serverAddress = netip.MustParseAddrPort("10.0.0.2:80")
)

type handlerFunc func(*stream.Request) (*stream.Response, error)

func (f handlerFunc) Handle(req *stream.Request) (*stream.Response, error) { return f(req) }

// noted keeps what the observer was told.
type noted struct {
	stream.RequestsOnly
	mu    sync.Mutex
	infos []stream.Info
}

func (n *noted) Request(req *stream.Request, _ *stream.Response) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.infos = append(n.infos, *req.Info)
}

func (n *noted) all() []stream.Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]stream.Info(nil), n.infos...)
}

// serve runs a server on one end of a connection and gives the other.
func serve(t testing.TB, cfg Config, h handlerFunc) (*memnet.Conn, *noted, chan struct{}) {
	t.Helper()
	near, far := pipe()
	seen, drain, ended := &noted{}, make(chan struct{}), make(chan struct{})
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

func readAll(b stream.Body) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	return io.ReadAll(struct{ io.Reader }{b})
}

// echo answers with the body that it was sent, and its trailers.
func echo(req *stream.Request) (*stream.Response, error) {
	resp := &stream.Response{Status: 200, Length: stream.Unknown}
	resp.Header.Add("x-method", req.Method)
	resp.Header.Add("x-path", req.Path)
	resp.Header.Add("x-authority", req.Authority)
	if req.Body != nil {
		resp.Body = req.Body
	}
	return resp, nil
}

func pipe() (near, far *memnet.Conn) { return memnet.Pipe(clientAddress, serverAddress) }

// raw is a client that speaks in frames.
type raw struct {
	t      testing.TB
	conn   *memnet.Conn
	framer *oracle.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
}

func newRaw(t testing.TB, conn *memnet.Conn) *raw {
	r := &raw{t: t, conn: conn, framer: oracle.NewFramer(conn, conn)}
	r.enc = hpack.NewEncoder(&r.block)
	r.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, preface); err != nil {
		t.Fatal(err)
	}
	r.must(r.framer.WriteSettings())
	return r
}

func (r *raw) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// headers sends a section, get being a request that is whole.
func (r *raw) headers(id uint32, end bool, fields ...string) {
	r.t.Helper()
	r.must(r.framer.WriteHeaders(oracle.HeadersFrameParam{StreamID: id, BlockFragment: r.encode(fields...), EndStream: end, EndHeaders: true}))
}

func (r *raw) encode(fields ...string) []byte {
	r.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = r.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(r.block.Bytes())
}

var (
	get  = []string{":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"}
	post = []string{":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"}
)

func with(fields []string, more ...string) []string {
	return append(append([]string(nil), fields...), more...)
}

// next is the next frame that is not about settings or windows.
func (r *raw) next() oracle.Frame {
	r.t.Helper()
	for {
		f, err := r.framer.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *oracle.SettingsFrame:
			if !f.IsAck() {
				r.must(r.framer.WriteSettingsAck())
			}
		case *oracle.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// settle waits until settings have been exchanged: what the test writes from
// another goroutine does not meet an acknowledgement then.
func (r *raw) settle() {
	r.must(r.framer.WritePing(false, [8]byte{}))
	r.next()
}

// ends gives the code with which the server ended the stream or the connection.
func (r *raw) ends() (stream, conn oracle.ErrCode, closed bool) {
	stream, conn = 99, 99
	for {
		switch f := r.next().(type) {
		case nil:
			return stream, conn, true
		case *oracle.RSTStreamFrame:
			return f.ErrCode, conn, false
		case *oracle.GoAwayFrame:
			return stream, f.ErrCode, false
		}
	}
}

// connected is our client before the peer that serve runs on the far end.
func connected(t testing.TB, cfg Config, serve func(net.Conn)) *Client {
	near, far := pipe()
	c := NewClient(near, cfg)
	var both sync.WaitGroup
	both.Go(c.Run)
	both.Go(func() { serve(far) })
	t.Cleanup(func() {
		near.Close()
		far.Close()
		both.Wait()
	})
	return c
}

// another serves with another implementation.
func another(h http.Handler) func(net.Conn) {
	return func(conn net.Conn) {
		(&oracle.Server{}).ServeConn(conn, &oracle.ServeConnOpts{Handler: h, BaseConfig: &http.Server{}})
	}
}

// send makes a request with our client and reads the answer.
func send(t testing.TB, c *Client, req *stream.Request, deadline time.Time) (resp *stream.Response, body string, err error) {
	t.Helper()
	req.Info = &stream.Info{}
	for !c.Reserve() {
		if _, bubble := t.(*testing.T); !bubble {
			t.Fatal("no place")
		}
		synctest.Wait()
	}
	e := c.Exchange()
	defer e.Finish()
	got, err := e.RoundTrip(req, deadline)
	if err != nil {
		req.Upload.Stop()
		return nil, "", err
	}
	all, err := readAll(got.Body)
	resp = &stream.Response{Status: got.Status, Header: got.Header.Clone(), Length: got.Length, Body: got.Body}
	if got.Body != nil && got.Body.Trailers() != nil {
		trailers := got.Body.Trailers().Clone()
		for i := range trailers.Len() {
			resp.Header.Add("trailer-"+trailers.At(i).Name, trailers.At(i).Value)
		}
	}
	req.Upload.Wait()
	return resp, string(all), err
}

// ours serves with our server.
func ours(cfg Config, h handlerFunc) func(net.Conn) {
	server := NewServer(cfg, h, nil)
	return func(conn net.Conn) { server.Serve(conn, &stream.Conn{Start: time.Now()}, nil) }
}
