package mutation

import (
	"maps"
	"strings"
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

type refusing struct{}

func (refusing) Handle(*stream.Request) (*stream.Response, error) {
	return nil, &stream.Refusal{Status: 403, Header: []stream.Field{{Name: "x-why", Value: "1"}}}
}

// Replies that the proxy makes are changed, too.
func TestRefusals(t *testing.T) {
	f := Filter{{Response: []Step{set("x-r", "1"), remove("x-why")}, ResponseTrailers: []Step{set("x-t", "1")}}}
	_, err := f.Handle(&stream.Request{Info: &stream.Info{}}, refusing{})
	if r := stream.AsRefusal(err); r.Status != 403 || len(r.Header) != 1 || r.Header[0] != (stream.Field{Name: "x-r", Value: "1"}) {
		t.Errorf("got %+v", err)
	}
}

// A filter that changes no replies leaves refusals as they are.
func TestRefusalsOfOthers(t *testing.T) {
	want := stream.Refuse(403, "no", "no")
	_, err := Filter{{Request: []Step{set("x-a", "1")}}}.Handle(&stream.Request{Info: &stream.Info{}}, failing{want})
	if err != want {
		t.Errorf("got %v, want the same refusal", err)
	}
}

type failing struct{ err error }

func (f failing) Handle(*stream.Request) (*stream.Response, error) { return nil, f.err }

// A refusal passes through the filters behind the one that refused, too, and through each
// of them once.
func TestFiltersBehindRefusals(t *testing.T) {
	add := func(name string) Filter {
		return Filter{{Response: []Step{{Set: &route.HeaderOp{Name: name, Value: route.Value{Literal: "1"}}}}}}
	}
	first, second, third := add("x-1"), add("x-2"), add("x-3")
	for at, chain := range [][]stream.Filter{{stopping{}, first, second, third}, {first, stopping{}, second, third}, {first, second, third, stopping{}}} {
		whole := stream.Chain(&upstream{}, append([]stream.Filter{Behind{first, second, third}}, chain...)...)
		_, err := whole.Handle(&stream.Request{Info: &stream.Info{}})
		r := stream.AsRefusal(err)
		names := map[string]int{}
		for _, f := range r.Header {
			names[f.Name]++
		}
		if r.Status != 403 || len(r.Header) != 3 || len(names) != 3 {
			t.Errorf("%d: got %+v", at, r)
		}
	}
	if resp, err := stream.Chain(&upstream{}, Behind{first, second}, first, second).Handle(&stream.Request{Info: &stream.Info{}}); err != nil || resp.Header.Len() != 2 {
		t.Errorf("got %v, %v", resp, err)
	}
}

type stopping struct{}

func (stopping) Handle(*stream.Request, stream.Handler) (*stream.Response, error) {
	return nil, stream.Refuse(403, "no", "no")
}

// Behind a place where the request goes over to another chain, a refusal passes through
// the filters of that one only.
func TestFiltersOfTheChainThatRefused(t *testing.T) {
	named := func(value string) Filter {
		return Filter{{Response: []Step{{Set: &route.HeaderOp{Name: "x-by", Value: route.Value{Literal: value}}}}}}
	}
	first, left, reached, behind := named("first"), named("left"), named("reached"), named("behind")
	rest := stream.Chain(&upstream{}, Behind{reached, behind}, reached, stopping{}, behind)
	for name, rest := range map[string]stream.Handler{"reached behind": rest, "": stream.Chain(&upstream{}, Behind{}, stopping{})} {
		whole := stream.Chain(&upstream{}, Behind{first, left}, first, over{rest}, left)
		_, err := whole.Handle(&stream.Request{Info: &stream.Info{}})
		got := map[string]int{}
		for _, f := range stream.AsRefusal(err).Header {
			got[f.Value]++
		}
		want := map[string]int{"first": 1}
		for _, each := range strings.Fields(name) {
			want[each] = 1
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// over lets another chain's rest answer.
type over struct{ rest stream.Handler }

func (o over) Handle(req *stream.Request, _ stream.Handler) (*stream.Response, error) {
	return o.rest.Handle(req)
}
