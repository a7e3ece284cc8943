package cors

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

type refusing struct{}

func (refusing) Handle(*stream.Request) (*stream.Response, error) {
	return nil, stream.Refuse(401, "jwt_authn_access_denied", "no")
}

// A page learns that it was refused, and not only that something went wrong.
func TestRefusalsMayBeRead(t *testing.T) {
	f := &Filter{Enabled: runtime.All, Origin: func(string) bool { return true }, Expose: "x-b"}
	req := &stream.Request{Method: "GET", Info: &stream.Info{}}
	req.Header.Add("origin", "https://shop.example")
	_, err := f.Handle(req, refusing{})
	resp := stream.Reply(req, stream.AsRefusal(err), &stream.Response{})
	if resp.Status != 401 || resp.Header.Get("access-control-allow-origin") != "https://shop.example" || resp.Header.Get("access-control-expose-headers") != "x-b" {
		t.Errorf("got %+v", resp)
	}
}

type service struct{ called int }

func (s *service) Handle(*stream.Request) (*stream.Response, error) {
	s.called++
	return &stream.Response{Status: 200}, nil
}

func ask(f *Filter, s *service, method, origin string) *stream.Response {
	req := &stream.Request{Method: method, Info: &stream.Info{}}
	if origin != "" {
		req.Header.Add("origin", origin)
	}
	if method == "OPTIONS" {
		req.Header.Add("access-control-request-method", "PUT")
	}
	resp, _ := f.Handle(req, s)
	return resp
}

// A preflight of an allowed origin is answered here; an answer to an allowed
// origin says that it may be read; others get no grant.
func TestCORS(t *testing.T) {
	f := &Filter{Enabled: runtime.All,
		Origin: func(o string) bool { return o == "https://shop.example" }, Methods: "GET,PUT", Headers: "x-a", Expose: "x-b", MaxAge: "60", Credentials: true,
	}
	s := &service{}
	resp := ask(f, s, "OPTIONS", "https://shop.example")
	for name, want := range map[string]string{
		"access-control-allow-origin": "https://shop.example", "access-control-allow-methods": "GET,PUT", "access-control-allow-headers": "x-a",
		"access-control-max-age": "60", "access-control-allow-credentials": "true",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("preflight: got %s %q, want %q", name, got, want)
		}
	}
	if resp.Status != 200 || s.called != 0 {
		t.Errorf("preflight: got %d, %d calls of the service", resp.Status, s.called)
	}
	resp = ask(f, s, "GET", "https://shop.example")
	if resp.Header.Get("access-control-allow-origin") == "" || resp.Header.Get("access-control-expose-headers") != "x-b" || s.called != 1 {
		t.Errorf("request: got %v after %d calls", resp.Header, s.called)
	}
	if resp = ask(f, s, "GET", "https://evil.example"); resp.Header.Len() != 0 {
		t.Errorf("another origin: got %v, want no grant", resp.Header)
	}
	if resp = ask(f, s, "OPTIONS", "https://evil.example"); resp.Header.Has("access-control-allow-origin") || s.called != 2 {
		t.Errorf("another origin's preflight: got %v, want an answer without a grant", resp.Header)
	}
	star := &Filter{Enabled: runtime.All, Origin: func(string) bool { return true }, Methods: "*", Headers: "*", Credentials: true}
	if resp = ask(star, s, "OPTIONS", "https://shop.example"); resp.Header.Get("access-control-allow-methods") != "PUT" || resp.Header.Get("access-control-allow-headers") != "" {
		t.Errorf("a star: got %v", resp.Header)
	}
	f.ForwardOther = true
	if ask(f, s, "OPTIONS", "https://evil.example"); s.called != 3 {
		t.Error("another origin's preflight is not forwarded although it should be")
	}
	for private, want := range map[bool]string{false: "", true: "true"} {
		f.PrivateNetwork = private
		req := &stream.Request{Method: "OPTIONS", Info: &stream.Info{}}
		for _, field := range [][2]string{{"origin", "https://shop.example"}, {"access-control-request-method", "PUT"}, {"access-control-request-private-network", "true"}} {
			req.Header.Add(field[0], field[1])
		}
		if resp, err := f.Handle(req, s); err != nil || resp.Header.Get("access-control-allow-private-network") != want {
			t.Errorf("private network %v: got %v, %v", private, resp.Header, err)
		}
	}
}
