package entry

import (
	"net/netip"
	"testing"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Policies, routes and the service see one spelling of a path (RFC 3986,
// section 6.2.2: "percent-encoded octets that correspond to unreserved
// characters should be normalized by decoding", "dot-segments … removed").
func TestPath(t *testing.T) {
	all := PathRules{Normalize: true, MergeSlashes: true}
	for _, c := range []struct {
		rules    PathRules
		in, want string // want is "!" for a refusal
	}{
		{all, "/a/b?c=/../d", "/a/b?c=/../d"},
		{all, "/a/../b", "/b"},
		{all, "/a/./b/.", "/a/b/"},
		{all, "/a/b/..", "/a/"},
		{all, "/../../a", "/a"},
		{all, "/..", "/"},
		{all, "/a//b///c", "/a/b/c"},
		{all, "/%61%2Fb", "/a%2Fb"},
		{all, "/a/%2e%2e/b", "/b"},
		{all, `/a\b`, "/a/b"},
		{all, "/a%00b", "!"},
		{all, "/a#frag", "!"},
		{PathRules{}, "/a/../b//c", "/a/../b//c"},
		{PathRules{Escaped: UnescapeSlashes}, "/a%2fb%5Cc", `/a/b\c`},
		{PathRules{Escaped: RejectSlashes}, "/a%2fb", "!"},
		{PathRules{Escaped: KeepSlashes}, "/a%2fb", "/a%2fb"},
	} {
		req := &stream.Request{Method: "GET", Path: c.in}
		got := "!"
		if err := c.rules.apply(req); err == nil {
			got = req.Path
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

// A redirect to the path without escaped slashes leads to the spelling that the other
// rules make of it; where that is none, the connection ends with the refusal.
func TestRedirectLeadsToTheNormalPath(t *testing.T) {
	all := PathRules{Normalize: true, MergeSlashes: true, Escaped: RedirectSlashes}
	for _, c := range []struct {
		rules    PathRules
		in, want string // want is empty where there is no redirect
	}{
		{all, "/a%5Cb", "/a/b"}, {all, "/a%2F..%2Fb", "/b"}, {all, "/a%2f%2fb?c=%2f", "/a/b?c=%2f"}, {all, "/a//b", ""},
		{PathRules{Escaped: RedirectSlashes}, "/a%2F..%2fb", "/a/../b"}, {PathRules{Escaped: RedirectSlashes, MergeSlashes: true}, "/a%2F%2fb", "/a/b"},
	} {
		err := c.rules.apply(&stream.Request{Method: "GET", Path: c.in})
		got := ""
		if err != nil {
			got = stream.AsRefusal(err).Header[0].Value
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
	if r := stream.AsRefusal(all.apply(&stream.Request{Method: "GET", Path: "/a%2f%00"})); r.Status != 400 || !r.Close {
		t.Errorf("got %+v; want a refusal that ends the connection", r)
	}
}

type silent struct{ resp stream.Response }

func (s *silent) Handle(*stream.Request) (*stream.Response, error) { return &s.resp, nil }

// What happens to every request costs no memory once the connection's is there.
func TestNoAllocations(t *testing.T) {
	last := &silent{}
	h := New(Config{UseRemoteAddress: true}, Routing{NotFound: last})
	req := &stream.Request{Method: "GET", Path: "/a", Authority: "shop", Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:80")}, Info: &stream.Info{}}
	if n := testing.AllocsPerRun(100, func() {
		req.Header.Reset()
		last.resp.Header.Reset()
		req.Header.Add("x-forwarded-for", "1.2.3.4")
		if _, err := h.Handle(req); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("got %v allocations a request, want none", n)
	}
	if got := req.Header.Get("x-forwarded-for"); got != "1.2.3.4,10.0.0.1" {
		t.Errorf("got x-forwarded-for %q", got)
	}
	if got := req.Header.Get("x-request-id"); len(got) != 36 || got[14] != '4' {
		t.Errorf("got x-request-id %q", got)
	}
}

func TestTrailingDot(t *testing.T) {
	for authority, want := range map[string]string{
		"a.b": "a.b", "a.b.": "a.b", "a.b..": "a.b.", "a.b.:80": "a.b:80", "a:80": "a:80", ".": "", "": "", ":80": ":80", "[::1]": "[::1]", "[::1]:80": "[::1]:80", "10.0.0.1": "10.0.0.1",
	} {
		if got := withoutDot(authority); got != want {
			t.Errorf("%s: got %s; want %s", authority, got, want)
		}
	}
}

// again answers by a redirect that is followed, as often as left says.
type again struct {
	left int
	seen []string
}

func (a *again) Handle(req *stream.Request) (*stream.Response, error) {
	a.seen = append(a.seen, req.Path)
	if a.left--; a.left < 0 {
		return &stream.Response{Status: 200}, nil
	}
	req.Path += "/more"
	req.Info.Hops = append(req.Info.Hops, stream.Hop{})
	req.Info.Flags |= stream.RetryLimit
	return nil, &stream.Redirected{Response: &stream.Response{Status: 302}}
}

// records keeps what was observed.
type records struct {
	stream.RequestsOnly
	infos []stream.Info
}

func (r *records) Request(req *stream.Request, _ *stream.Response) {
	r.infos = append(r.infos, *req.Info)
}

// A request whose redirect is followed begins anew, with a record of its own.
func TestFollowed(t *testing.T) {
	last, seen := &again{left: 2}, &records{}
	h := New(Config{Scheme: "https", Followed: seen}, Routing{NotFound: last})
	req := &stream.Request{Method: "GET", Path: "/a", Authority: "shop", Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:80")}, Info: &stream.Info{HeadReceived: 7}}
	resp, err := h.Handle(req)
	if err != nil || resp.Status != 200 || len(last.seen) != 3 || last.seen[2] != "/a/more/more" {
		t.Fatalf("got %v, %v by %v", resp, err, last.seen)
	}
	if len(seen.infos) != 2 || seen.infos[1].Status != 302 || seen.infos[1].Details != "internal_redirect" || seen.infos[1].End.IsZero() {
		t.Errorf("noted %+v", seen.infos)
	}
	if i := req.Info; i.Details != "" || i.Flags != 0 || i.Status != 0 || len(i.Hops) != 2 || i.HeadReceived != 7 {
		t.Errorf("the last record begins with %+v", i)
	}
	if req.Scheme != "https" || req.Header.Get("x-forwarded-proto") != "https" {
		t.Errorf("the scheme is %s, told as %s", req.Scheme, req.Header.Get("x-forwarded-proto"))
	}
}

// The path that a redirect leads to is spelled as everybody else's.
func TestFollowedPaths(t *testing.T) {
	last := &leading{to: "/public/../admin"}
	req := &stream.Request{Method: "GET", Path: "/a", Authority: "shop", Conn: &stream.Conn{}, Info: &stream.Info{}}
	if _, err := New(Config{Path: PathRules{Normalize: true}}, Routing{NotFound: last}).Handle(req); err != nil || last.seen != "/admin" {
		t.Errorf("came to %s, %v", last.seen, err)
	}
}

// leading is an upstream whose first answer leads elsewhere.
type leading struct{ to, seen string }

func (l *leading) Handle(req *stream.Request) (*stream.Response, error) {
	if l.to != "" {
		req.Path, l.to = l.to, ""
		return nil, &stream.Redirected{Response: &stream.Response{Status: 302}}
	}
	l.seen = req.Path
	return &stream.Response{Status: 200}, nil
}

// Requests from inside keep what tells the proxy, and other services, what to do;
// the rest is as Envoy 1.39 has it.
func TestInside(t *testing.T) {
	const steer = "x-envoy-max-retries"
	for _, tc := range []struct {
		useRemote        bool
		hops             uint32
		peer, forwarded  string
		inside, keepsID  bool
		external         string
		originalPathGone bool
	}{
		{true, 0, "10.0.0.1:80", "", true, true, "", false},
		{true, 0, "[::ffff:10.0.0.1]:80", "", true, true, "", false},
		{true, 0, "11.0.0.1:80", "", false, false, "11.0.0.1", true},
		{true, 0, "10.0.0.1:80", "10.0.0.2", false, false, "10.0.0.1", true},
		{true, 1, "10.0.0.1:80", "10.0.0.2", false, false, "10.0.0.2", true},
		{true, 1, "10.0.0.1:80", "", true, true, "", false},
		{false, 0, "10.0.0.1:80", "", false, true, "", false},
		{false, 0, "11.0.0.1:80", "10.0.0.2", true, true, "", false},
		{false, 0, "10.0.0.1:80", "11.0.0.2", false, true, "", false},
		{false, 0, "10.0.0.1:80", "10.0.0.2, 10.0.0.3", false, true, "", false},
		{false, 1, "10.0.0.1:80", "10.0.0.2", false, true, "", false},
	} {
		h := New(Config{UseRemoteAddress: tc.useRemote, TrustedHops: tc.hops, Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, Routing{NotFound: &silent{}})
		req := &stream.Request{Method: "GET", Path: "/", Authority: "shop", Conn: &stream.Conn{Remote: netip.MustParseAddrPort(tc.peer)}, Info: &stream.Info{}}
		for name, value := range map[string]string{"x-request-id": "mine", steer: "3", "x-envoy-original-path": "/b", "x-forwarded-for": tc.forwarded} {
			if value != "" {
				req.Header.Add(name, value)
			}
		}
		if _, err := h.Handle(req); err != nil {
			t.Fatal(err)
		}
		if inside := req.Header.Get("x-envoy-internal") == "true"; inside != tc.inside || req.Header.Has(steer) != tc.inside || (req.Header.Get("x-request-id") == "mine") != tc.keepsID ||
			req.Header.Get("x-envoy-external-address") != tc.external || req.Header.Has("x-envoy-original-path") == tc.originalPathGone {
			t.Errorf("%+v: got %v", tc, req.Header)
		}
	}
}

// A request whose route has come meanwhile begins anew, with the record that it has.
func TestRouteThatComes(t *testing.T) {
	last, seen, spans := &coming{}, &records{}, spans(0)
	h := New(Config{Followed: seen, Tracer: &spans}, Routing{NotFound: last})
	last.h = h
	req := &stream.Request{Method: "GET", Path: "/a", Authority: "shop", Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:80")}, Info: &stream.Info{}}
	resp, err := h.Handle(req)
	if err != nil || resp.Status != 204 || len(seen.infos) != 0 || spans != 1 {
		t.Errorf("got %v, %v with %d spans; noted %+v", resp, err, spans, seen.infos)
	}
}

// spans counts those that are begun.
type spans int

func (s *spans) Start(*stream.Request)                 { *s++ }
func (s *spans) Reply(*stream.Request, *stream.Header) {}

// coming answers nothing, and has a route come.
type coming struct{ h *Handler }

func (c *coming) Handle(*stream.Request) (*stream.Response, error) {
	answer := &silent{stream.Response{Status: 204}}
	table, err := route.New(route.Config{Hosts: []*route.VirtualHost{{Domains: []string{"shop"}, Routes: []*route.Route{{Match: route.Match{Value: "/"}, Handler: answer}}}}})
	if err != nil {
		return nil, err
	}
	c.h.routing.Load().Table.Store(table)
	return nil, &stream.Redirected{}
}

// A port is only taken off where it is one, and where it is the one that is not wanted.
func TestPortsAreTakenOff(t *testing.T) {
	for _, c := range []struct {
		strip                    StripPort
		authority, want, restore string
	}{
		{WhateverPort, "a.b:80", "a.b", ":80"}, {WhateverPort, "a.b", "a.b", ""}, {WhateverPort, "a.b:", "a.b:", ""}, {WhateverPort, "a.b:x", "a.b:x", ""}, {WhateverPort, "[::1]", "[::1]", ""},
		{WhateverPort, "[::1]:80", "[::1]", ":80"}, {OwnPort, "a.b:80", "a.b", ":80"}, {OwnPort, "a.b:81", "a.b:81", ""}, {KeepPort, "a.b:80", "a.b:80", ""},
	} {
		req := &stream.Request{Authority: c.authority, Port: ":1", Conn: &stream.Conn{Local: netip.MustParseAddrPort("10.0.0.1:80")}}
		(&Config{StripPort: c.strip}).strip(req)
		if req.Authority != c.want || req.Port != c.restore {
			t.Errorf("%s: got %q and %q, want %q and %q", c.authority, req.Authority, req.Port, c.want, c.restore)
		}
	}
}
