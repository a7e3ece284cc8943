package session

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// endpoints is an upstream of two: it answers by the one that is asked for, or by
// the first.
type endpoints struct{ asked stream.Wanted }

func (e *endpoints) Handle(req *stream.Request) (*stream.Response, error) {
	e.asked = req.Info.Wanted
	req.Info.Upstream = netip.MustParseAddrPort("10.0.0.1:80")
	if e.asked.Endpoint == "10.0.0.2:80" {
		req.Info.Upstream = netip.MustParseAddrPort("10.0.0.2:80")
	}
	return &stream.Response{Status: 200}, nil
}

func ask(t *testing.T, f *Filter, path string, fields ...string) (told string, asked stream.Wanted) {
	t.Helper()
	req := &stream.Request{Path: path, Info: &stream.Info{}}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	var up endpoints
	resp, err := f.Handle(req, &up)
	if err != nil {
		t.Fatal(err)
	}
	name := "set-cookie"
	if h, ok := f.State.(Header); ok {
		name = h.Name
	}
	return resp.Header.Get(name), up.asked
}

func TestCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Filter{State: &Cookie{Name: "s", Path: "/shop", TTL: time.Minute, Attributes: []string{"Secure"}}, Strict: true, Status: 410}
		told, asked := ask(t, f, "/shop/cart")
		value, rest, _ := strings.Cut(strings.TrimPrefix(told, "s="), ";")
		if rest != " Max-Age=60; Path=/shop; Secure; HttpOnly" || asked.Endpoint != "" {
			t.Fatalf("told %q", told)
		}
		if told, asked := ask(t, f, "/shop", "cookie", "a=b; s="+value); told != "" || asked != (stream.Wanted{Endpoint: "10.0.0.1:80", Only: true, Status: 410}) {
			t.Errorf("comes back: asked for %+v, told %q", asked, told)
		}
		if told, asked := ask(t, f, "/shopping", "cookie", "s="+value); told != "" || asked.Endpoint != "" {
			t.Errorf("elsewhere: asked for %+v, told %q", asked, told)
		}
		time.Sleep(2 * time.Minute)
		if told, asked := ask(t, f, "/shop", "cookie", "s="+value); told == "" || asked.Endpoint != "" {
			t.Errorf("later: asked for %+v, told %q", asked, told)
		}
	})
}

func TestHeader(t *testing.T) {
	f := &Filter{State: Header{"x-endpoint"}}
	told, _ := ask(t, f, "/")
	if told != "MTAuMC4wLjE6ODA=" {
		t.Errorf("told %q", told)
	}
	if told, asked := ask(t, f, "/", "x-endpoint", "MTAuMC4wLjI6ODA="); told != "" || asked.Endpoint != "10.0.0.2:80" {
		t.Errorf("asked for %+v, told %q", asked, told)
	}
	if told, asked := ask(t, f, "/", "x-endpoint", "?"); told == "" || asked.Endpoint != "" {
		t.Errorf("asked for %+v, told %q", asked, told)
	}
}

func TestEnvelope(t *testing.T) {
	const one = "MTAuMC4wLjE6ODA=" // 10.0.0.1:80
	for value, want := range map[string][3]string{
		one + ";UV:bWluZQ==":            {"10.0.0.1:80", "mine", "ok"},
		one + ";XX:y;UV:bWluZQ==;UV:eQ": {"10.0.0.1:80", "mine", "ok"},
		"???;UV:bWluZQ==":               {"", "mine", "ok"},
		one:                             {"", "", ""},
		"mine":                          {"", "", ""},
		one + ";UV:YQ0KYjogYw==":        {"", "", ""}, // two lines
	} {
		endpoint, inner, ok := openEnvelope(value)
		if endpoint != want[0] || inner != want[1] || ok != (want[2] != "") {
			t.Errorf("%q: %q, %q, %v", value, endpoint, inner, ok)
		}
	}
	s := Envelope{"x-session"}
	req := &stream.Request{}
	req.Header.Add("X-Session", one+";UV:bWluZQ==")
	if endpoint := s.Endpoint(req); endpoint != "10.0.0.1:80" || req.Header.Get("x-session") != "mine" {
		t.Errorf("got %q, left %q", endpoint, req.Header.Get("x-session"))
	}
	var h stream.Header
	s.Tell(req, &h, "10.0.0.1:80", true)
	if h.Len() != 0 {
		t.Error("told a client without a session")
	}
	h.Add("x-session", "mine")
	s.Tell(req, &h, "10.0.0.1:80", true)
	if got := h.Get("x-session"); got != one+";UV:bWluZQ==" {
		t.Errorf("told %q", got)
	}
}

// What is taken out of an envelope can stand in a field.
func FuzzEnvelope(f *testing.F) {
	f.Add("MTAuMC4wLjE6ODA=;UV:bWluZQ==")
	f.Add("MTAuMC4wLjE6ODA=;UV:YQ0KYjogYw==")
	f.Fuzz(func(t *testing.T, value string) {
		if _, inner, ok := openEnvelope(value); ok && (inner == "" || !stream.ValidValue(inner)) {
			t.Errorf("%q gave %q", value, inner)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x0a\x0b127.0.0.1:1\x10\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if address, _, ok := decode(message); ok && address == "" {
			t.Errorf("%q", message)
		}
	})
}
