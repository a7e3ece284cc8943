package route

import (
	"testing"
)

// A request goes by the table of its scope: an element of a field, by its place or
// by its key. Envoy 1.39 answers the same.
func TestScopes(t *testing.T) {
	one, two := &Current{}, &Current{}
	one.Store(&Table{Name: "one"})
	two.Store(&Table{Name: "two"})
	var c Current
	c.SetScopes(&Scopes{
		Key:    []KeyPart{{Name: "x-s", Separator: ";", By: &Keyed{Key: "k", Separator: "="}}, {Name: ":authority", Separator: ".", Index: 1}},
		Tables: map[string]*Current{ScopeKey([]string{"a", "com"}): one, ScopeKey([]string{"", "com"}): two, ScopeKey([]string{"b", "com"}): {}},
	})
	for _, tc := range []struct {
		host   string
		fields []string
		want   string
	}{
		{"x.com", []string{"x-s", "k=a"}, "one"},
		{"x.com", []string{"X-S", "z;k=a;k=b"}, "one"},
		{"x.com", []string{"x-s", "k"}, "two"},
		{"x.com", []string{"x-s", "k=b"}, ""}, // its routes are not there yet
		{"x.com", []string{"x-s", "z"}, ""},
		{"x.com", nil, ""},
		{"x.org", []string{"x-s", "k=a"}, ""},
		{"x", []string{"x-s", "k=a"}, ""},
		{"x.com", []string{"x-s", "z", "x-s", "k=a"}, ""},
		{"x.com", []string{"x-s", "k=a=b"}, ""},
		{"x.com", []string{"x-s", "z; k=a"}, ""},
	} {
		req, got := asked(tc.host, "/", tc.fields...), ""
		if t := c.For(req); t != nil {
			got = t.Name
		}
		if got != tc.want {
			t.Errorf("%s, %q: got %q, want %q", tc.host, tc.fields, got, tc.want)
		}
	}
	if ScopeKey([]string{"a", "b"}) == ScopeKey([]string{"ab", ""}) {
		t.Error("two keys are one")
	}
}

// Without a separator a field is one element.
func TestWholeField(t *testing.T) {
	req := asked("x", "/", "x-s", "k=a;b")
	for want, p := range map[string]KeyPart{
		"k=a;b": {Name: "x-s"},
		"a;b":   {Name: "x-s", By: &Keyed{Key: "k", Separator: "="}},
		"x":     {Name: "host"},
	} {
		if got, found := p.of(req); got != want || !found {
			t.Errorf("%+v: got %q, %v", p, got, found)
		}
	}
}

func TestScopesCostNoMemory(t *testing.T) {
	var c, own Current
	own.Store(&Table{})
	c.SetScopes(&Scopes{Key: []KeyPart{{Name: "x-s", Separator: ","}, {Name: ":path"}}, Tables: map[string]*Current{ScopeKey([]string{"a", "/"}): &own}})
	req := asked("x", "/", "x-s", "a,b")
	if n := testing.AllocsPerRun(100, func() {
		if c.For(req) == nil {
			t.Fatal("no table")
		}
	}); n > 0 {
		t.Errorf("got %v allocations a request, want none", n)
	}
}
