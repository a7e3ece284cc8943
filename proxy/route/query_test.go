package route

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

func TestQuery(t *testing.T) {
	literal := func(name, value string, action AppendAction) Param {
		return Param{Name: name, Value: Value{Literal: value}, Action: action}
	}
	params := []Param{
		literal("add", "1", AppendOrAdd), literal("absent", "2", AddIfAbsent), literal("over", "a b&c=/~*", OverwriteOrAdd),
		literal("exists", "4", OverwriteIfExists), {Name: "gone", Remove: true},
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
		if got := Query(params, req); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
	encoded := []Param{{Name: "a", Value: Value{Literal: "b%20c d&e=f#\r\n"}, Encoded: true}}
	if got := Query(encoded, &stream.Request{Path: "/p", Info: &stream.Info{}}); got != "/p?a=b%20c%20d%26e=f%23%0D%0A" {
		t.Errorf("an encoded parameter became %s", got)
	}
	req := &stream.Request{Path: "/p?gone=1", Info: &stream.Info{}}
	if got := Query(params[4:], req); got != "/p" {
		t.Errorf("became %s", got)
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
		if got := Query([]Param{{Name: name, Value: Value{Literal: value}}, {Name: "gone", Remove: true}}, req); !stream.ValidTarget(got) {
			t.Errorf("%q became %q", path, got)
		}
	})
}
