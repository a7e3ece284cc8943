package grpcbridge

import (
	"errors"
	"io"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// service keeps what it was sent, and answers with a message and trailers.
type service struct {
	got, path, kind string
	content         string
	status          string
	broken          error
	released        bool
}

type answer struct {
	stream.Body
	trailers stream.Header
	broken   error
}

func (a *answer) Trailers() *stream.Header { return &a.trailers }
func (a *answer) Complete() bool           { return a.broken == nil && a.Body.Complete() }
func (a *answer) Wait() error              { return a.broken }

func (a *answer) Read(p []byte) (int, error) { return stream.ReadBuffered(a, p) }

func (s *service) Settle()      {}
func (s *service) Release(bool) { s.released = true }

func (s *service) Handle(req *stream.Request) (*stream.Response, error) {
	got, err := io.ReadAll(req.Body)
	s.got, s.path, s.kind = string(got), req.Path, req.Header.Get("content-type")
	a := &answer{Body: stream.NewBytes([]byte(s.content)), broken: s.broken}
	a.trailers.Add("Grpc-Status", s.status)
	a.trailers.Add("Grpc-Message", "a%20b")
	resp := &stream.Response{Status: 200, Length: stream.Unknown, Body: a, Done: s}
	resp.Header.Add("content-type", "application/grpc")
	return resp, err
}

func call(kind, content string) *stream.Request {
	req := &stream.Request{Method: "POST", Path: "/s/m?a=b", Info: &stream.Info{}, Body: stream.NewBytes([]byte(content)), Length: int64(len(content))}
	req.Header.Add("content-type", kind)
	return req
}

func TestCalls(t *testing.T) {
	const message = "\x00\x00\x00\x00\x05hello"
	for name, tc := range map[string]struct {
		filter            Filter
		kind, sent        string
		status            string
		got, kindSent     string
		httpStatus        int
		answered, outcome string
	}{
		"gRPC":            {Filter{}, "application/grpc", message, "0", message, "application/grpc", 200, message, "0"},
		"failed":          {Filter{}, "application/grpc+proto", message, "5", message, "application/grpc+proto", 503, message, "5"},
		"upgraded":        {Filter{Upgrade: true}, protobuf, "hello", "0", message, "application/grpc", 200, "hello", "0"},
		"empty":           {Filter{Upgrade: true}, protobuf, "", "0", "\x00\x00\x00\x00\x00", "application/grpc", 200, "hello", "0"},
		"upgraded failed": {Filter{Upgrade: true}, protobuf, "hello", "5", message, "application/grpc", 503, "hello", "5"},
		"not upgraded":    {Filter{}, protobuf, "hello", "0", "hello", protobuf, 200, message, ""},
		"something else":  {Filter{Upgrade: true}, "text/plain", "hello", "0", "hello", "text/plain", 200, message, ""},
	} {
		s := service{content: message, status: tc.status}
		resp, err := tc.filter.Handle(call(tc.kind, tc.sent), &s)
		if err != nil {
			t.Fatal(name, err)
		}
		answered, err := io.ReadAll(resp.Body)
		if err != nil || s.got != tc.got || s.kind != tc.kindSent || s.path != "/s/m?a=b" {
			t.Errorf("%s: sent %q as %q to %q, %v", name, s.got, s.kind, s.path, err)
		}
		if resp.Status != tc.httpStatus || string(answered) != tc.answered || resp.Header.Get("grpc-status") != tc.outcome {
			t.Errorf("%s: answered %d %q, grpc-status %q", name, resp.Status, answered, resp.Header.Get("grpc-status"))
		}
		if tc.outcome != "" && resp.Length != int64(len(answered)) {
			t.Errorf("%s: length %d", name, resp.Length)
		}
	}
}

func TestQueries(t *testing.T) {
	s := service{status: "0"}
	if _, err := (Filter{NoQuery: true}).Handle(call("application/grpc", ""), &s); err != nil || s.path != "/s/m" {
		t.Errorf("asked for %q, %v", s.path, err)
	}
}

// A client of HTTP/2 reads its trailers itself.
func TestHTTP2IsLeftAlone(t *testing.T) {
	s := service{status: "5"}
	req := call("application/grpc", "")
	req.Protocol = stream.HTTP2
	if resp, err := (Filter{Upgrade: true}).Handle(req, &s); err != nil || resp.Status != 200 || resp.Header.Has("grpc-status") {
		t.Errorf("got %+v, %v", resp, err)
	}
}

// A reply that breaks off, or is too long, is not taken for one; what it held is
// given back, and the client is refused in its own words.
func TestBrokenReplies(t *testing.T) {
	for status, s := range map[int]*service{503: {broken: errors.New("gone")}, 500: {content: string(make([]byte, largest+1))}} {
		req := call(protobuf, "hello")
		_, err := (Filter{Upgrade: true}).Handle(req, s)
		if r := stream.AsRefusal(err); r.Status != status || !s.released || req.Header.Get("content-type") != protobuf {
			t.Errorf("got %+v, released %v, content-type %q; want %d", r, s.released, req.Header.Get("content-type"), status)
		}
	}
	if _, err := (Filter{Upgrade: true}).Handle(call(protobuf, string(make([]byte, largest+1))), &service{}); stream.AsRefusal(err).Status != 413 {
		t.Errorf("got %v", err)
	}
}

// moved answers the first call with a redirect that is followed.
type moved struct {
	service
	calls int
}

func (m *moved) Handle(req *stream.Request) (*stream.Response, error) {
	if m.calls++; m.calls == 1 {
		return nil, &stream.Redirected{Response: &stream.Response{Status: 307}}
	}
	return m.service.Handle(req)
}

// A request whose redirect is followed comes again as it came at first.
func TestFollowedRedirects(t *testing.T) {
	m := moved{service: service{status: "0", content: "\x00\x00\x00\x00\x02ok"}}
	req := call(protobuf, "hello")
	f := Filter{Upgrade: true}
	if _, err := f.Handle(req, &m); stream.AsRedirected(err) == nil {
		t.Fatalf("got %v; want the redirect", err)
	}
	resp, err := f.Handle(req, &m)
	if err != nil || m.got != "\x00\x00\x00\x00\x05hello" || string(resp.Body.Buffered()) != "ok" {
		t.Errorf("sent %q, got %+v, %v", m.got, resp, err)
	}
}
