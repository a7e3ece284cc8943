package metadata

import (
	"maps"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

type last struct{}

func (last) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200}, nil
}

func TestState(t *testing.T) {
	field := func(req *stream.Request) string { return req.Header.Get("x") }
	fixed := func(*stream.Request) string { return "fixed" }
	s := State{{Key: "a", Value: field}, {Key: "b", Value: fixed}, {Key: "b", Value: field, SkipEmpty: true}, {Key: "c", Value: field, SkipEmpty: true}}
	for value, want := range map[string]map[string]string{"": {"a": "", "b": "fixed"}, "v": {"a": "v", "b": "v", "c": "v"}} {
		req := &stream.Request{Info: &stream.Info{}}
		req.Header.Add("x", value)
		if _, err := s.Handle(req, last{}); err != nil || !maps.Equal(req.Info.State, want) {
			t.Errorf("%q: left %v, %v; want %v", value, req.Info.State, err, want)
		}
	}
}

// What is left about a connection is known to each of its requests, and none of
// them can say otherwise.
func TestStateOfConnections(t *testing.T) {
	s := State{{Key: "peer", Value: func(req *stream.Request) string { return req.Conn.SNI }}, {Key: "none", Value: func(*stream.Request) string { return "" }, SkipEmpty: true}}
	conn := &stream.Conn{SNI: "shop"}
	if admitted, _ := s.Admit(conn, &stream.Info{}); !admitted || !maps.Equal(conn.State, map[string]string{"peer": "shop"}) {
		t.Errorf("admitted %v, left %v", admitted, conn.State)
	}
	req := &stream.Request{Conn: conn, Info: &stream.Info{}}
	if value, found := req.State("peer"); value != "shop" || !found {
		t.Errorf("a request finds %q", value)
	}
	req.Info.State = map[string]string{"peer": "own", "other": "own"}
	if value, _ := req.State("peer"); value != "shop" {
		t.Errorf("a request finds %q instead of its connection's", value)
	}
	if value, _ := req.State("other"); value != "own" {
		t.Errorf("a request finds %q of its own", value)
	}
}

// What is shared is left for upstream connections, too, and they keep it when the next
// request comes.
func TestSharedState(t *testing.T) {
	say := func(text string) func(*stream.Request) string { return func(*stream.Request) string { return text } }
	s := State{{Key: "a", Value: say("1"), Shared: true}, {Key: "b", Value: say("2")}}
	req := &stream.Request{Conn: &stream.Conn{}, Info: &stream.Info{}}
	if got := req.Shared(); got != nil {
		t.Errorf("nothing was left: got %v", got)
	}
	if _, err := s.Handle(req, last{}); err != nil {
		t.Fatal(err)
	}
	before := req.Shared()
	req.Info.Shared["a"] = "next"
	if !maps.Equal(before, map[string]string{"a": "1"}) {
		t.Errorf("shared %v", before)
	}
	State{{Key: "c", Value: say("3"), Shared: true}}.Admit(req.Conn, req.Info)
	if got := req.Shared(); !maps.Equal(got, map[string]string{"a": "next", "c": "3"}) {
		t.Errorf("with the connection's: %v", got)
	}
}
