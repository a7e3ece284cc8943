package rbac

import (
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

type reached struct{}

func (reached) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200}, nil
}

func exact(v string) route.StringMatch {
	return route.StringMatch{Kind: route.StringExact, Value: v}
}

func policy(name string, t Test) Policy {
	return Policy{name, []Test{t}, []Test{Anything{}}}
}

// A caller of mutual TLS, from 10.0.0.1 behind a hop that told of 1.2.3.4, to
// 10.0.0.2:80.
func caller() *stream.Request {
	req := &stream.Request{Method: "GET", Authority: "shop", Path: "/cart?x=1#y", Info: &stream.Info{Client: netip.MustParseAddr("1.2.3.4")}, Conn: &stream.Conn{
		Remote: netip.MustParseAddrPort("10.0.0.1:999"), Original: netip.MustParseAddrPort("10.0.0.2:80"),
		TLS: &stream.TLS{SNI: "shop.example", Peer: &x509.Certificate{}, URISANs: []string{"spiffe://cluster.local/ns/a/sa/b"}, DNSSANs: []string{"b.example"}, Subject: "CN=b"},
	}}
	req.Header.Add("X-User", "jason")
	req.Info.State = map[string]string{"key": "value"}
	req.Info.Metadata.Set("space", "name", "value")
	req.Conn.Metadata.Set("tlv", "vpc", "one")
	return req
}

func TestTests(t *testing.T) {
	name := func(v string) *route.StringMatch { s := exact(v); return &s }
	for _, tc := range []struct {
		name  string
		test  Test
		holds bool
		bytes bool // for the connection without a request
	}{
		{"anything", Anything{}, true, true},
		{"not", Not{Anything{}}, false, false},
		{"all", All{Anything{}, Not{Anything{}}}, false, false},
		{"any", Any{Not{Anything{}}, Anything{}}, true, true},
		{"header", &Header{route.HeaderMatch{Name: "x-user", Match: exact("jason")}}, true, false},
		{"method", &Header{route.HeaderMatch{Name: ":method", Match: exact("GET")}}, true, false},
		{"path without query and fragment", &Path{exact("/cart")}, true, false},
		{"destination", In{Destination, netip.MustParsePrefix("10.0.0.2/32")}, true, true},
		{"socket's peer", In{DirectRemote, netip.MustParsePrefix("10.0.0.0/30")}, true, true},
		{"client", In{Remote, netip.MustParsePrefix("1.2.3.0/24")}, true, false},
		{"old name", In{Source, netip.MustParsePrefix("10.0.0.1/32")}, true, true},
		{"port", Port{80, 80}, true, true},
		{"other port", Port{81, 90}, false, false},
		{"server name", &ServerName{exact("shop.example")}, true, true},
		{"authenticated", Authenticated{}, true, true},
		{"URI", Authenticated{name("spiffe://cluster.local/ns/a/sa/b")}, true, true},
		{"DNS name", Authenticated{name("b.example")}, true, true},
		{"subject", Authenticated{name("CN=b")}, true, true},
		{"nobody", Authenticated{name("CN=c")}, false, false},
		{"state", &State{"key", exact("value")}, true, false},
		{"the connection's metadata", Metadata(func(m *stream.Metadata) bool { v, _ := m.Get("tlv", "vpc"); return v == "one" }), false, true},
		{"metadata", Metadata(func(m *stream.Metadata) bool { v, _ := m.Get("space", "name"); return v == "value" }), true, false},
	} {
		req := caller()
		if got := tc.test.Holds(Subject{req.Conn, req}); got != tc.holds {
			t.Errorf("%s: %v for a request", tc.name, got)
		}
		if got := tc.test.Holds(Subject{Conn: req.Conn}); got != tc.bytes {
			t.Errorf("%s: %v for a byte stream", tc.name, got)
		}
	}
	plain := caller()
	plain.Conn.TLS = nil
	if (Authenticated{}).Holds(Subject{plain.Conn, plain}) {
		t.Error("a connection in plain text is authenticated")
	}
}

func TestActions(t *testing.T) {
	yes, no := policy("yes", Anything{}), policy("no", Not{Anything{}})
	for _, tc := range []struct {
		rules   *Rules
		details string // empty: let through
	}{
		{nil, ""},
		{&Rules{Allow, []Policy{yes}}, ""},
		{&Rules{Allow, []Policy{no}}, "rbac_access_denied_matched_policy[none]"},
		{&Rules{Allow, nil}, "rbac_access_denied_matched_policy[none]"},
		{&Rules{Deny, []Policy{no, yes}}, "rbac_access_denied_matched_policy[yes]"},
		{&Rules{Deny, []Policy{no}}, ""},
		{&Rules{Log, []Policy{no}}, ""},
	} {
		_, err := (&Filter{Rules: tc.rules}).Handle(caller(), reached{})
		got := ""
		if err != nil {
			r := stream.AsRefusal(err)
			if got = r.Details; r.Status != 403 || r.Body != "RBAC: access denied" {
				t.Errorf("refused with %+v", r)
			}
		}
		if got != tc.details {
			t.Errorf("%+v: got %q; want %q", tc.rules, got, tc.details)
		}
		admitted, why := (&Gate{Rules: tc.rules}).Admit(caller().Conn, &stream.Info{})
		if admitted != (tc.details == "") || !admitted && why != tc.details {
			t.Errorf("gate: %v, %q", admitted, why)
		}
	}
}

// A gate's shadow rules are noted where later filters of the connection look.
func TestShadowOfGates(t *testing.T) {
	conn := caller().Conn
	g := &Gate{Shadow: &Rules{Deny, []Policy{policy("p", Anything{})}}, ShadowPrefix: "istio_ext_authz_"}
	if admitted, _ := g.Admit(conn, &stream.Info{}); !admitted {
		t.Fatal("shadow rules refuse")
	}
	if id, _ := conn.Metadata.Get("envoy.filters.network.rbac", "istio_ext_authz_shadow_effective_policy_id"); id != "p" {
		t.Errorf("noted %v", conn.Metadata.Namespaces())
	}
}

// Shadow rules change nothing but what is noted.
func TestShadow(t *testing.T) {
	req := caller()
	f := &Filter{Shadow: &Rules{Deny, []Policy{policy("p", Anything{})}}, ShadowPrefix: "istio_dry_run_allow_"}
	if _, err := f.Handle(req, reached{}); err != nil {
		t.Fatal(err)
	}
	result, _ := req.Info.Metadata.Get(Namespace, "istio_dry_run_allow_shadow_engine_result")
	id, _ := req.Info.Metadata.Get(Namespace, "istio_dry_run_allow_shadow_effective_policy_id")
	if result != "denied" || id != "p" {
		t.Errorf("noted %v, %v", result, id)
	}
	req = caller()
	if _, err := (&Filter{Rules: &Rules{Log, []Policy{policy("p", Anything{})}}}).Handle(req, reached{}); err != nil {
		t.Fatal(err)
	}
	if hint, _ := req.Info.Metadata.Get("envoy.common", "access_log_hint"); hint != true {
		t.Errorf("hint %v", hint)
	}
}

// Several fields of one name do not hide one another.
func TestRepeatedFields(t *testing.T) {
	req := caller()
	req.Header.Add("x-user", "mallory")
	deny := &Filter{Rules: &Rules{Deny, []Policy{policy("p", &Header{route.HeaderMatch{Name: "x-user", Match: exact("mallory")}})}}}
	if _, err := deny.Handle(req, reached{}); err == nil {
		t.Error("let through")
	}
}

func TestJudgingDoesNotAllocate(t *testing.T) {
	req := caller()
	f := &Filter{Rules: &Rules{Allow, []Policy{policy("p", All{&Path{exact("/cart")}, Authenticated{}, Port{80, 80}})}}}
	if n := testing.AllocsPerRun(100, func() { _ = f.Rules.Judge(Subject{req.Conn, req}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
