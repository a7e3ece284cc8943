package grpcweb

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// service answers with what it was sent, and trailers.
type service struct{ seen *stream.Request }

type answer struct {
	stream.Body
	trailers stream.Header
}

func (a *answer) Trailers() *stream.Header { return &a.trailers }

func (s *service) Handle(req *stream.Request) (*stream.Response, error) {
	s.seen = req
	content, err := io.ReadAll(struct{ io.Reader }{req.Body})
	if err != nil {
		return nil, err
	}
	a := &answer{Body: stream.NewBytes(content)}
	a.trailers.Add("Grpc-Status", "0")
	a.trailers.Add("grpc-message", "fine")
	resp := &stream.Response{Status: 200, Length: stream.Unknown, Body: a}
	resp.Header.Add("content-type", "application/grpc+proto")
	return resp, nil
}

func call(kind, content string) *stream.Request {
	req := &stream.Request{Method: "POST", Path: "/s/m", Info: &stream.Info{}, Body: stream.NewBytes([]byte(content)), Length: int64(len(content))}
	req.Header.Add("content-type", kind)
	return req
}

const want = "\x00\x00\x00\x00\x05hello\x80\x00\x00\x00\x22grpc-status:0\r\ngrpc-message:fine\r\n"

// PROTOCOL-WEB.md: trailers are the last frame, with the most significant bit of
// its flags set, in lower case.
func TestBinaryAndText(t *testing.T) {
	message := "\x00\x00\x00\x00\x05hello"
	// Pieces that were padded each by itself.
	pieces := base64.StdEncoding.EncodeToString([]byte(message[:4])) + base64.StdEncoding.EncodeToString([]byte(message[4:]))
	for _, tc := range []struct{ kind, accept, sent, answered string }{
		{"application/grpc-web+proto", "", message, "application/grpc-web+proto"},
		{"application/grpc-web-text+proto", "application/grpc-web-text", pieces, "application/grpc-web-text+proto"},
		{"application/grpc-web-text+proto", "", pieces, "application/grpc-web+proto"},
	} {
		var s service
		req := call(tc.kind, tc.sent)
		if tc.accept != "" {
			req.Header.Add("accept", tc.accept)
		}
		resp, err := Filter{}.Handle(req, &s)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.seen.Header.Get("content-type"); got != "application/grpc" || s.seen.Header.Get("te") != "trailers" {
			t.Errorf("the service got %q, te %q", got, s.seen.Header.Get("te"))
		}
		if got := resp.Header.Get("content-type"); got != tc.answered {
			t.Errorf("answered as %q; want %q", got, tc.answered)
		}
		content, err := io.ReadAll(struct{ io.Reader }{resp.Body})
		if err != nil {
			t.Fatal(err)
		}
		if tc.accept != "" {
			if content, err = base64.StdEncoding.DecodeString(string(content)); err != nil {
				t.Fatal(err)
			}
		}
		if string(content) != want {
			t.Errorf("%s: got %q; want %q", tc.kind, content, want)
		}
	}
}

// Who answers a call without trailers has its content told, and nothing behind it.
func TestNoTrailers(t *testing.T) {
	for accept, want := range map[string]string{"application/grpc-web": "abcd", "application/grpc-web-text": "YWJjZA=="} {
		req := call("application/grpc-web", "x")
		req.Header.Add("accept", accept)
		resp, err := Filter{}.Handle(req, bare("abcd"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(struct{ io.Reader }{resp.Body}); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", accept, got, err, want)
		}
	}
}

// bare is an upstream that answers as gRPC does, without trailers.
type bare string

func (b bare) Handle(*stream.Request) (*stream.Response, error) {
	resp := &stream.Response{Status: 200, Body: stream.NewBytes([]byte(b)), Length: int64(len(b))}
	resp.Header.Add("content-type", "application/grpc")
	return resp, nil
}

// reply is an upstream that does not speak gRPC.
type reply struct {
	status int
	body   string
	err    error
}

func (r reply) Handle(*stream.Request) (*stream.Response, error) {
	resp := &stream.Response{Status: r.status, Length: int64(len(r.body))}
	if r.body != "" {
		resp.Body = stream.NewBytes([]byte(r.body))
	}
	return resp, r.err
}

// A client reads why a call came to nothing, also from those who do not speak gRPC.
func TestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		next           reply
		status         int
		code, message  string
		refused, close bool
	}{
		"a page":      {reply{status: 200, body: "hello%\n"}, 200, "2", "hello%25%0A", false, false},
		"an error":    {reply{status: 403, body: "no"}, 403, "7", "no", false, false},
		"nothing":     {reply{status: 503}, 503, "", "", false, false},
		"long":        {reply{status: 500, body: strings.Repeat("a", maxMessage+1)}, 500, "2", strings.Repeat("a", maxMessage), false, false},
		"refused":     {reply{err: &stream.Refusal{Status: 503, Body: "no upstream", Close: true}}, 503, "14", "no upstream", true, true},
		"client gone": {reply{err: &stream.Refusal{}}, 0, "", "", true, false},
	} {
		req := call("application/grpc-web", "x")
		resp, err := Filter{}.Handle(req, tc.next)
		if tc.refused {
			r := stream.AsRefusal(err)
			if r.Close != tc.close || req.Header.Get("content-type") != "application/grpc-web" {
				t.Errorf("%s: %+v", name, r)
			}
			resp = stream.Reply(req, r, &stream.Response{})
		}
		if resp.Status != tc.status || resp.Header.Get("grpc-status") != tc.code || resp.Header.Get("grpc-message") != tc.message || resp.Body != nil {
			t.Errorf("%s: %d, %v", name, resp.Status, resp.Header)
		}
		if tc.status != 0 && resp.Header.Get("content-type") != "application/grpc-web+proto" {
			t.Errorf("%s: content-type %q", name, resp.Header.Get("content-type"))
		}
	}
}

func TestOthersPass(t *testing.T) {
	var s service
	req := call("application/grpc", "x")
	resp, err := Filter{}.Handle(req, &s)
	if err != nil || s.seen.Header.Has("te") || resp.Body.Trailers() == nil {
		t.Errorf("got %+v, %v", resp, err)
	}
	for _, kind := range []string{"application/grpc-webfoo", "application/grpc-web-textual", "text/plain"} {
		if _, err := (Filter{}).Handle(call(kind, "x"), &s); err != nil || s.seen.Header.Get("content-type") != kind {
			t.Errorf("%s: sent as %q, %v", kind, s.seen.Header.Get("content-type"), err)
		}
	}
	if _, err := (Filter{}).Handle(call("application/grpc-web-text", "???"), &s); stream.AsRefusal(err).Status != 400 {
		t.Errorf("got %v for what is no base64", err)
	}
}

// A request whose redirect is followed comes again, decoded, and is answered as its
// client wants.
func TestFollowedRedirects(t *testing.T) {
	req := call("application/grpc-web-text+proto", base64.StdEncoding.EncodeToString([]byte("hello")))
	req.Header.Add("accept", "application/grpc-web-text")
	if _, err := (Filter{}).Handle(req, reply{err: &stream.Redirected{Response: &stream.Response{Status: 302}}}); stream.AsRedirected(err) == nil {
		t.Fatalf("got %v; want the redirect", err)
	}
	var s service
	resp, err := Filter{}.Handle(req, &s)
	if err != nil || s.seen.Header.Get("content-type") != "application/grpc" || resp.Header.Get("content-type") != "application/grpc-web-text+proto" {
		t.Errorf("sent %v, got %+v, %v", s.seen.Header, resp, err)
	}
}

// endless never ends.
type endless struct{ stream.Bytes }

func (*endless) Complete() bool { return false }
func (e *endless) Wait() error {
	e.Bytes = *stream.NewBytes(make([]byte, 1000))
	return nil
}
func (e *endless) Read(p []byte) (int, error) { return stream.ReadBuffered(e, p) }

type streaming struct{}

func (streaming) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200, Length: stream.Unknown, Body: &endless{}}, nil
}

// A client learns the beginning of what is no gRPC, though it has no end.
func TestEndlessReplies(t *testing.T) {
	if resp, err := (Filter{}).Handle(call("application/grpc-web", "x"), streaming{}); err != nil || resp.Header.Get("grpc-status") != "2" {
		t.Errorf("got %+v, %v", resp, err)
	}
}
