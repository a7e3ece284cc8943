package route

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func asked(authority, path string, fields ...string) *stream.Request {
	r := &stream.Request{Method: "GET", Scheme: "http", Authority: authority, Path: path}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

func table(t testing.TB, hosts ...*VirtualHost) *Table {
	tab, err := New(Config{Name: "t", Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func named(r *Route) string {
	if r == nil {
		return ""
	}
	return r.Name
}

func TestMostSpecificHostWins(t *testing.T) {
	host := func(name string, domains ...string) *VirtualHost {
		return &VirtualHost{Name: name, Domains: domains, Routes: []*Route{{Name: name, Match: Match{Value: "/"}}}}
	}
	tab := table(t, host("any", "*"), host("exact", "a.example.com", "A.org:80"), host("suffix", "*.example.com"), host("long", "*.b.example.com"),
		host("dash", "*-x.org"), host("prefix", "www.*"))
	for authority, want := range map[string]string{
		"a.example.com": "exact", "A.Example.COM": "exact", "a.org:80": "exact", "a.org": "any", "b.example.com": "suffix", "c.b.example.com": "long",
		"example.com": "any", ".example.com": "any", "y-x.org": "dash", "www.z": "prefix", "www.example.com": "suffix", "www.": "any", "": "any", "a.example.com:81": "any",
	} {
		if got := named(tab.Match(asked(authority, "/"))); got != want {
			t.Errorf("%s: got %q; want %q", authority, got, want)
		}
	}
	if _, err := New(Config{Name: "r", Hosts: []*VirtualHost{host("one", "a"), host("two", "A")}}); err == nil || err.Error() != `route r: domain "a" belongs to virtual hosts one and two` {
		t.Errorf("got %v", err)
	}
}

func TestParametersAreIgnored(t *testing.T) {
	for path, want := range map[string]string{
		"/a": "/a", "/a;b": "/a", "/a;b=c/d": "/a/d", "/a;b/c;d": "/a/c", "/a;/": "/a/", "/;b": "/", "/a;b;c": "/a", ";": "",
	} {
		if got := withoutParameters(path); got != want {
			t.Errorf("%s: got %s; want %s", path, got, want)
		}
	}
	routes := []*Route{{Name: "exact", Match: Match{Path: Exact, Value: "/a/b"}}}
	for range 2 * small { // a list, then a tree
		tab, err := New(Config{Hosts: []*VirtualHost{{Domains: []string{"*"}, Routes: routes}}, IgnoreParameters: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := named(tab.Match(asked("h", "/a;x/b;y?q;z"))); got != "exact" {
			t.Errorf("%d routes: got %q", len(routes), got)
		}
		if got := named(table(t, &VirtualHost{Domains: []string{"*"}, Routes: routes}).Match(asked("h", "/a;x/b"))); got != "" {
			t.Errorf("%d routes: got %q where parameters count", len(routes), got)
		}
		routes = append(routes, &Route{Name: "other", Match: Match{Path: Exact, Value: "/other"}})
	}
}

// randomRoute makes a route over few letters, so that routes overlap.
func randomRoute(r *rand.Rand, i int) *Route {
	word := func() string {
		b := []byte("/")
		for range r.IntN(4) {
			b = append(b, "ab/"[r.IntN(3)])
		}
		return string(b)
	}
	m := Match{Path: PathKind(r.IntN(4)), Value: word(), FoldCase: r.IntN(5) == 0}
	if m.Path == Regex {
		m.Regex = regexp.MustCompile("^(?:" + m.Value + ".?)$")
	}
	if r.IntN(3) == 0 {
		m.Headers = []HeaderMatch{{Name: "x", Match: StringMatch{Value: fmt.Sprint(r.IntN(2))}}}
	}
	return &Route{Name: fmt.Sprint(i), Match: m}
}

// The index must find what trying one route after the other finds.
func TestIndexKeepsTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var routes []*Route
		for i := range 9 + r.IntN(40) {
			routes = append(routes, randomRoute(r, i))
		}
		tab := table(t, &VirtualHost{Domains: []string{"*"}, Routes: routes})
		for range 60 {
			req := asked("h", randomRoute(r, 0).Match.Value+[]string{"", "?q", "/", "B"}[r.IntN(4)], "x", fmt.Sprint(r.IntN(3)))
			want := ""
			for _, route := range routes {
				if route.Match.path(req, req.PathOnly()) && route.Match.rest(req) {
					want = route.Name
					break
				}
			}
			if got := named(tab.Match(req)); got != want {
				t.Fatalf("%s: got %q; want %q", req.Path, got, want)
			}
		}
	}
}

func TestMatchers(t *testing.T) {
	header := func(h HeaderMatch) Match { return Match{Value: "/", Headers: []HeaderMatch{h}} }
	str := func(k StringKind, v string) StringMatch { return StringMatch{Kind: k, Value: v} }
	query := func(s StringMatch) Match { return Match{Value: "/", Query: []QueryMatch{{Name: "q", Match: s}}} }
	req := asked("h", "/a/b?q=one&q=two&e=", "X-One", "Value", "x-two", "1", "X-Two", "2", "n", "15")
	for name, tc := range map[string]struct {
		match Match
		want  bool
	}{
		"prefix":                        {Match{Value: "/a"}, true},
		"prefix does not see the query": {Match{Value: "/a/b?"}, false},
		"separated prefix":              {Match{Path: SeparatedPrefix, Value: "/a"}, true},
		"not a segment":                 {Match{Path: SeparatedPrefix, Value: "/a/"}, false},
		"exact":                         {Match{Path: Exact, Value: "/a/b"}, true},
		"exact, other case":             {Match{Path: Exact, Value: "/A/b"}, false},
		"exact, folded":                 {Match{Path: Exact, Value: "/A/b", FoldCase: true}, true},
		"regex":                         {Match{Path: Regex, Regex: regexp.MustCompile(`^(?:/a/.)$`)}, true},
		"header exact":                  {header(HeaderMatch{Name: "x-one", Match: str(StringExact, "Value")}), true},
		"header case counts":            {header(HeaderMatch{Name: "x-one", Match: str(StringExact, "value")}), false},
		"header folded":                 {header(HeaderMatch{Name: "x-one", Match: StringMatch{Value: "vALUE", FoldCase: true}}), true},
		"header prefix":                 {header(HeaderMatch{Name: "x-one", Match: str(StringPrefix, "Va")}), true},
		"header suffix":                 {header(HeaderMatch{Name: "x-one", Match: str(StringSuffix, "ue")}), true},
		"header contains":               {header(HeaderMatch{Name: "x-one", Match: str(StringContains, "alu")}), true},
		"header inverted":               {header(HeaderMatch{Name: "x-one", Match: str(StringExact, "Value"), Invert: true}), false},
		"several fields are one":        {header(HeaderMatch{Name: "x-two", Match: str(StringExact, "1,2")}), true},
		"present":                       {header(HeaderMatch{Name: "x-one", Match: str(Present, "")}), true},
		"absent":                        {header(HeaderMatch{Name: "x-none", Match: str(Present, "")}), false},
		"not present":                   {header(HeaderMatch{Name: "x-none", Match: str(Present, ""), Invert: true}), true},
		"missing as empty":              {header(HeaderMatch{Name: "x-none", Match: str(StringExact, ""), MissingAsEmpty: true}), true},
		"missing as empty, inverted":    {header(HeaderMatch{Name: "x-none", Match: str(StringExact, "v"), MissingAsEmpty: true, Invert: true}), true},
		"range":                         {header(HeaderMatch{Name: "n", Match: StringMatch{Kind: Range, Low: 15, High: 16}}), true},
		"range ends before":             {header(HeaderMatch{Name: "n", Match: StringMatch{Kind: Range, Low: 10, High: 15}}), false},
		"method":                        {header(HeaderMatch{Name: ":method", Match: str(StringExact, "GET")}), true},
		"authority":                     {header(HeaderMatch{Name: ":authority", Match: str(StringExact, "h")}), true},
		"query":                         {query(str(StringExact, "one")), true},
		"query, second value":           {query(str(StringExact, "two")), false},
		"never":                         {Match{Value: "/", Share: &runtime.Share{}}, false},
		"always":                        {Match{Value: "/", Share: &runtime.All}, true},
		"connect":                       {Match{Path: AnyConnect}, false},
	} {
		tab := table(t, &VirtualHost{Domains: []string{"*"}, Routes: []*Route{{Name: "r", Match: tc.match}}})
		if got := tab.Match(req) != nil; got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestRedirects(t *testing.T) {
	for name, tc := range map[string]struct {
		redirect Redirect
		request  *stream.Request
		want     string
	}{
		"https":              {Redirect{Scheme: "https"}, asked("a:80", "/x?y"), "https://a/x?y"},
		"https keeps a port": {Redirect{Scheme: "https"}, asked("a:8080", "/x"), "https://a:8080/x"},
		"host":               {Redirect{Host: "b"}, asked("a:8080", "/x"), "http://b:8080/x"},
		"port":               {Redirect{Port: 8443, Scheme: "https"}, asked("a", "/x"), "https://a:8443/x"},
		"path":               {Redirect{Path: "/z"}, asked("a", "/x?y"), "http://a/z?y"},
		"path with a query":  {Redirect{Path: "/z?q"}, asked("a", "/x?y"), "http://a/z?q"},
		"prefix":             {Redirect{Prefix: "/z/", MatchedPrefix: "/x/"}, asked("a", "/x/1?y"), "http://a/z/1?y"},
		"stripped query":     {Redirect{StripQuery: true}, asked("a", "/x?y"), "http://a/x"},
		"IPv6":               {Redirect{Scheme: "https"}, asked("[::1]:80", "/"), "https://[::1]/"},
		"regex":              {Redirect{Regex: regexp.MustCompile(`^/(\w+)`), Substitution: "/v2/${1}"}, asked("a", "/x"), "http://a/v2/x"},
	} {
		resp, err := RedirectHandler(tc.redirect).Handle(func() *stream.Request { tc.request.Info = &stream.Info{}; return tc.request }())
		if err != nil || resp.Status != 301 || resp.Header.Get("location") != tc.want {
			t.Errorf("%s: got %d %s, %v; want %s", name, resp.Status, resp.Header.Get("location"), err, tc.want)
		}
	}
}

func TestMutations(t *testing.T) {
	r := &Route{Match: Match{Value: "/"}, Mutations: Mutations{
		RemoveRequest: []string{"x-gone"},
		Request: []HeaderOp{
			{Name: "x-add", Value: Value{Literal: "2"}},
			{Name: "x-absent", Value: Value{Literal: "new"}, Append: AddIfAbsent},
			{Name: "x-over", Value: Value{Literal: "new"}, Append: OverwriteOrAdd},
			{Name: "x-exists", Value: Value{Literal: "new"}, Append: OverwriteIfExists},
			{Name: "x-path", Value: Value{Format: func(r *stream.Request, _ *stream.Response) string { return r.Path }}},
		},
	}}
	tab := table(t, &VirtualHost{Domains: []string{"*"}, Routes: []*Route{r}, Mutations: Mutations{Request: []HeaderOp{{Name: "x-add", Value: Value{Literal: "3"}}}}})
	req := asked("a", "/p", "x-gone", "1", "X-Gone", "2", "X-Add", "1", "x-absent", "old", "X-Over", "old")
	tab.Match(req).MutateRequest(req)
	for name, want := range map[string]string{"x-gone": "", "x-add": "1,2,3", "x-absent": "old", "x-over": "new", "x-exists": "", "x-path": "/p"} {
		if got, _ := req.Header.Joined(name); got != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
}

// "EXTERNAL_ONLY: External requests must use TLS."
func TestWhoNeedsTLS(t *testing.T) {
	for need, want := range map[TLSNeed]string{NoTLS: "", ExternalTLS: "external", AllTLS: "external internal"} {
		tab := table(t, &VirtualHost{Domains: []string{"*"}, RequireTLS: need, Routes: []*Route{{Match: Match{Value: "/"}}}})
		var redirected []string
		for name, req := range map[string]*stream.Request{"external": asked("a", "/"), "internal": asked("a", "/", "x-envoy-internal", "true")} {
			req.Info = &stream.Info{}
			if _, err := Choose(tab, req); err != nil {
				redirected = append(redirected, name)
			}
		}
		slices.Sort(redirected)
		if got := strings.Join(redirected, " "); got != want {
			t.Errorf("%d: redirected %q, want %q", need, got, want)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var hosts []*VirtualHost
			for i := range n / 10 {
				vh := &VirtualHost{Name: fmt.Sprint(i), Domains: []string{fmt.Sprintf("s%d.example.com", i)}}
				for k := range 10 {
					vh.Routes = append(vh.Routes, &Route{Match: Match{Value: fmt.Sprintf("/api/v%d/", k)}})
				}
				hosts = append(hosts, vh)
			}
			one := &VirtualHost{Name: "one", Domains: []string{"one"}}
			for k := range n {
				one.Routes = append(one.Routes, &Route{Match: Match{Value: fmt.Sprintf("/api/%d/", k)}})
			}
			tab := table(b, append(hosts, one)...)
			requests := []*stream.Request{asked(fmt.Sprintf("s%d.example.com", n/10-1), "/api/v9/x"), asked("one", fmt.Sprintf("/api/%d/x", n-1))}
			b.ReportAllocs()
			for b.Loop() {
				for _, r := range requests {
					if tab.Match(r) == nil {
						b.Fatal("no match")
					}
				}
			}
		})
	}
}

// Virtual hosts may go over from one table to the next while requests go by them.
func TestHostsGoOver(t *testing.T) {
	fixed := func(name string) *VirtualHost {
		return &VirtualHost{Name: name, Domains: []string{name}, Routes: []*Route{{Name: name, Match: Match{Value: "/"}}}}
	}
	a := fixed("a")
	mutations := Mutations{RemoveRequest: []string{"x-gone"}}
	first, err := New(Config{Hosts: []*VirtualHost{fixed("own"), a}, Mutations: mutations})
	if err != nil {
		t.Fatal(err)
	}
	going := make(chan *Route)
	go func() { going <- first.Match(asked("a", "/", "x-gone", "1")) }()
	b := fixed("b")
	second, err := New(Config{Hosts: []*VirtualHost{fixed("own"), a, b}, Mutations: mutations})
	if err != nil {
		t.Fatal(err)
	}
	if r := <-going; r == nil || r != second.Match(asked("a", "/")) || r.Host != a {
		t.Errorf("got %v, want the same route by both", r)
	}
	for _, name := range []string{"a", "b"} {
		req := asked(name, "/", "x-gone", "1")
		if second.Match(req).MutateRequest(req); req.Header.Has("x-gone") {
			t.Errorf("%s: the request is as it was", name)
		}
	}
	c := fixed("own")
	if _, err := New(Config{Name: "r", Hosts: []*VirtualHost{fixed("own"), c}}); err == nil {
		t.Error("a domain belongs to two")
	}
}

// A request that has no route before and behind a filter stays among those without.
func TestStillNoRoute(t *testing.T) {
	var c Current
	c.Store(table(t))
	req := asked("a", "/")
	req.Info = &stream.Info{}
	reached, unrouted := &reached{}, &reached{}
	if _, err := (&Again{Table: &c}).Handle(req, reached); err != nil || !reached.by {
		t.Errorf("got %v, want what stands behind", err)
	}
	req.Info.Matched = &Route{Name: "before"}
	if _, err := (&Again{Table: &c}).Handle(req, reached); stream.AsRefusal(err).Status != 404 {
		t.Errorf("got %v, want that there is none any more", err)
	}
	c.Unrouted, req.Info.Matched = []stream.Handler{NotFound{}, unrouted}, &Route{Name: "before"}
	if _, err := (&Again{Table: &c, Place: 1}).Handle(req, reached); err != nil || !unrouted.by {
		t.Errorf("got %v, want what stands behind that place for what no route takes", err)
	}
}

type reached struct{ by bool }

func (r *reached) Handle(*stream.Request) (*stream.Response, error) {
	r.by = true
	return nil, nil
}
