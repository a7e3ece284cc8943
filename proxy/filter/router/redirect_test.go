package router

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func TestAbsolute(t *testing.T) {
	for location, want := range map[string][3]string{
		"http://a/b?c":      {"http", "a", "/b?c"},
		"HTTPS://a:8443":    {"https", "a:8443", "/"},
		"http://a/b#c":      {"http", "a", "/b"},
		"http://a#c":        {"http", "a", "/"},
		"http://a/b c":      {},
		"http://a/b\tc":     {},
		"http://a,b/c":      {},
		"http://u:p@a/b@c":  {"http", "a", "/b@c"},
		"http://a?b":        {"http", "a", "?b"},
		"/a":                {},
		"//a/b":             {},
		"ftp://a/b":         {},
		"http://":           {},
		"http:///b":         {},
		"mailto:a@http://b": {},
	} {
		scheme, authority, path, ok := absolute(location)
		if got := [3]string{scheme, authority, path}; ok != (want[0] != "") || ok && got != want {
			t.Errorf("%s: got %q, %v; want %q", location, got, ok, want)
		}
	}
}

// A redirect that is not followed leaves the request as it was.
func TestRedirected(t *testing.T) {
	table, err := route.New(route.Config{Hosts: []*route.VirtualHost{{Name: "h", Domains: []string{"a"}, Routes: []*route.Route{{Name: "end", Match: route.Match{Value: "/end"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var current route.Current
	current.Store(table)
	for name, tc := range map[string]struct {
		policy   route.Redirects
		method   string
		status   int
		location string
		hops     []stream.Hop
		follows  bool
		becomes  string // the method
	}{
		"followed":            {route.Redirects{Max: 1}, "POST", 302, "http://a/end", nil, true, "POST"},
		"303":                 {route.Redirects{Max: 1}, "POST", 303, "http://a/end", nil, true, "GET"},
		"303 to HEAD":         {route.Redirects{Max: 1}, "HEAD", 303, "http://a/end", nil, true, "HEAD"},
		"too many":            {route.Redirects{Max: 1}, "GET", 302, "http://a/end", []stream.Hop{{From: "x", To: "y"}}, false, "GET"},
		"none at all":         {route.Redirects{}, "GET", 302, "http://a/end", nil, false, "GET"},
		"no route":            {route.Redirects{Max: 1}, "GET", 302, "http://a/other", nil, false, "GET"},
		"other scheme":        {route.Redirects{Max: 1}, "GET", 302, "https://a/end", nil, false, "GET"},
		"other scheme is let": {route.Redirects{Max: 1, CrossScheme: true}, "GET", 302, "https://a/end", nil, true, "GET"},
		"not to https":        {route.Redirects{Max: 1, CrossScheme: true, SafeCross: true}, "GET", 302, "https://a/end", nil, false, "GET"},
		"again":               {route.Redirects{Max: 9, NotAgain: true}, "GET", 302, "http://a/end", []stream.Hop{{From: "start", To: "end"}}, false, "GET"},
		"from elsewhere":      {route.Redirects{Max: 9, NotAgain: true}, "GET", 302, "http://a/end", []stream.Hop{{From: "other", To: "end"}}, true, "GET"},
		"among":               {route.Redirects{Max: 9, Among: [][]string{{"end"}, {"a", "end"}}}, "GET", 302, "http://a/end", nil, true, "GET"},
		"not among":           {route.Redirects{Max: 9, Among: [][]string{{"end"}, {"a"}}}, "GET", 302, "http://a/end", nil, false, "GET"},
	} {
		tc.policy.Table, tc.policy.Copy = &current, []string{"x-copy", "x-gone"}
		req := &stream.Request{Method: tc.method, Scheme: "http", Authority: "old", Path: "/old", Conn: &stream.Conn{}, Info: &stream.Info{Route: "start", Hops: tc.hops}}
		own := &route.Route{Name: "start"}
		req.Info.Matched = own
		req.Header.Add("x-copy", "mine")
		req.Header.Add("x-gone", "mine")
		resp := &stream.Response{Status: tc.status}
		resp.Header.Add("X-Copy", "theirs")
		got := redirected(&tc.policy, req, resp, tc.location)
		if got != tc.follows || req.Method != tc.becomes {
			t.Errorf("%s: got %v, %s; want %v, %s", name, got, req.Method, tc.follows, tc.becomes)
		}
		fields := [4]string{req.Authority + req.Path, req.Header.Get("x-copy"), req.Header.Get("x-gone"), req.Header.Get("x-envoy-original-url")}
		want := [4]string{"old/old", "mine", "mine", ""}
		if tc.follows {
			want = [4]string{"a/end", "theirs", "", "http://old/old"}
		}
		if fields != want || len(req.Info.Hops) != len(tc.hops) != tc.follows {
			t.Errorf("%s: got %q, %v; want %q", name, fields, req.Info.Hops, want)
		}
		if (route.Matched(req) == own) == tc.follows {
			t.Errorf("%s: the reply is that of %v", name, route.Matched(req))
		}
	}
}
