package mutation

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// told is a body with trailers.
type told struct {
	stream.Bytes
	trailers stream.Header
}

func (b *told) Trailers() *stream.Header {
	if b.trailers.Len() == 0 {
		return nil
	}
	return &b.trailers
}

func body(fields ...string) *told {
	b := &told{}
	for _, f := range fields {
		b.trailers.Add(f, "1")
	}
	return b
}

type upstream struct {
	got  *stream.Request
	body *told
}

func (u *upstream) Handle(req *stream.Request) (*stream.Response, error) {
	u.got = req
	return &stream.Response{Status: 200, Body: u.body}, nil
}

func set(name, value string) Step {
	return Step{Set: &route.HeaderOp{Name: name, Value: route.Value{Literal: value}, Append: route.OverwriteOrAdd}}
}

func remove(name string) Step {
	return Step{Remove: func(n string) bool { return stream.EqualName(n, name) }}
}

// Levels are applied one after the other, to heads and to trailers.
func TestLevels(t *testing.T) {
	f := Filter{
		{Request: []Step{set("x-a", "1")}, RequestTrailers: []Step{set("x-t", "1")}, Response: []Step{set("x-r", "1")}, ResponseTrailers: []Step{remove("x-gone")}},
		{Request: []Step{set("x-a", "2")}, RequestTrailers: []Step{{Set: &route.HeaderOp{Name: "x-path", Value: route.Value{Format: func(r *stream.Request, _ *stream.Response) string { return r.Path }}}}}, Response: []Step{set("x-r", "2")}, ResponseTrailers: []Step{set("x-t", "2")}},
	}
	up := &upstream{body: body("x-gone", "x-kept")}
	req := &stream.Request{Path: "/p", Info: &stream.Info{}, Body: body("x-sum")}
	resp, err := f.Handle(req, up)
	if err != nil {
		t.Fatal(err)
	}
	req.Path = "/changed later"
	sent, back := req.Body.Trailers(), resp.Body.Trailers()
	if req.Header.Get("x-a") != "2" || sent.Get("x-t") != "1" || sent.Get("x-path") != "/p" || sent.Get("x-sum") != "1" {
		t.Errorf("sent %v, %v", req.Header, sent)
	}
	if resp.Header.Get("x-r") != "2" || back.Has("x-gone") || back.Get("x-kept") != "1" || back.Get("x-t") != "2" || resp.Body.Trailers().Len() != 2 {
		t.Errorf("got %v, %v", resp.Header, back)
	}
}

// Trailers are only changed where there are some, and none are left where the last
// one is removed.
func TestNoTrailers(t *testing.T) {
	for _, b := range []*told{body(), body("x-gone")} {
		f := Filter{{ResponseTrailers: []Step{remove("x-gone")}}}
		resp, err := f.Handle(&stream.Request{Info: &stream.Info{}}, &upstream{body: b})
		if err != nil || resp.Body.Trailers() != nil {
			t.Errorf("got %v, %v", resp.Body.Trailers(), err)
		}
	}
}

func TestQuery(t *testing.T) {
	literal := func(name, value string, action route.AppendAction) Param {
		return Param{Name: name, Value: route.Value{Literal: value}, Action: action}
	}
	params := []Param{
		literal("add", "1", route.AppendOrAdd), literal("absent", "2", route.AddIfAbsent), literal("over", "a b&c=/~*", route.OverwriteOrAdd),
		literal("exists", "4", route.OverwriteIfExists), {Name: "gone", Remove: true},
	}
	const over = "over=a%20b%26c%3D%2F%7E*"
	for path, want := range map[string]string{
		"/p":            "/p?absent=2&add=1&" + over,
		"/p?":           "/p?absent=2&add=1&" + over,
		"/p?z=1&a=%20+": "/p?a=%20+&absent=2&add=1&" + over + "&z=1",
		"/p?add=0&absent=0&over=0&over=1&exists=0&gone=0&gone": "/p?absent=0&add=0&add=1&exists=4&" + over,
		"/p?g%6fne=1&x": "/p?absent=2&add=1&" + over + "&x=",
	} {
		req := &stream.Request{Path: path, Info: &stream.Info{}}
		if _, err := (Filter{{Query: params}}).Handle(req, &upstream{}); err != nil || req.Path != want {
			t.Errorf("%s became %s, %v; want %s", path, req.Path, err, want)
		}
	}
	req := &stream.Request{Path: "/p?gone=1", Info: &stream.Info{}}
	if _, err := (Filter{{Query: params[4:]}}).Handle(req, &upstream{}); err != nil || req.Path != "/p" {
		t.Errorf("became %s, %v", req.Path, err)
	}
}

// A changed path can stand in a request.
func FuzzQuery(f *testing.F) {
	f.Add("/p?a=b&&=c&%zz", "x y", "a")
	f.Fuzz(func(t *testing.T, path, value, name string) {
		if !stream.ValidTarget(path) || name == "" {
			return
		}
		req := &stream.Request{Path: path}
		if got := query([]Param{{Name: name, Value: route.Value{Literal: value}}, {Name: "gone", Remove: true}}, req); !stream.ValidTarget(got) {
			t.Errorf("%q became %q", path, got)
		}
	})
}
