package grpcweb

import (
	"encoding/base64"
	"io"
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
	for _, tc := range []struct{ kind, sent, answered string }{
		{"application/grpc-web+proto", message, "application/grpc-web+proto"},
		{"application/grpc-web-text+proto", pieces, "application/grpc-web-text+proto"},
	} {
		var s service
		resp, err := Filter{}.Handle(call(tc.kind, tc.sent), &s)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.seen.Header.Get("content-type"); got != "application/grpc+proto" || s.seen.Header.Get("te") != "trailers" {
			t.Errorf("the service got %q, te %q", got, s.seen.Header.Get("te"))
		}
		if got := resp.Header.Get("content-type"); got != tc.answered {
			t.Errorf("answered as %q; want %q", got, tc.answered)
		}
		content, err := io.ReadAll(struct{ io.Reader }{resp.Body})
		if err != nil {
			t.Fatal(err)
		}
		if tc.sent != message {
			if content, err = base64.StdEncoding.DecodeString(string(content)); err != nil {
				t.Fatal(err)
			}
		}
		if string(content) != want {
			t.Errorf("%s: got %q; want %q", tc.kind, content, want)
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
	if _, err := (Filter{}).Handle(call("application/grpc-web-text", "???"), &s); stream.AsRefusal(err).Status != 400 {
		t.Errorf("got %v for what is no base64", err)
	}
}
