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
