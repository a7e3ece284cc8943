package telemetry

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// written is what an operator writes of the sample, as text and as JSON.
func written(t *testing.T, word string, change func(*stream.Request)) (text, asJSON string) {
	t.Helper()
	req, resp := sample()
	change(req)
	f, err := compileFormat("%"+word+"%", false)
	if err != nil {
		t.Fatal(err)
	}
	r := &record{req: req, resp: resp}
	value, _ := jsonOperator(f.pieces[0].op)(nil, r)
	return string(f.appendTo(nil, r)), string(value)
}

// The first value that is there and is not empty is taken, and stays a number if it is
// one.
func TestCoalesce(t *testing.T) {
	for argument, want := range map[string][2]string{
		`"CUSTOM_FLAGS", "PROTOCOL"`:                            {"HTTP/1.1", `"HTTP/1.1"`},
		`{"command": "REQ", "param": "none"}, "RESPONSE_CODE"`:  {"200", "200"},
		`{"command": "REQ", "param": "none"}`:                   {"-", "null"},
		`{"command": "REQ", "param": ":path", "max_length": 4}`: {"/det", `"/det"`},
	} {
		text, asJSON := written(t, `COALESCE({"operators": [`+argument+`]})`, func(*stream.Request) {})
		if text != want[0] || asJSON != want[1] {
			t.Errorf("%s: got %s and %s; want %s", argument, text, asJSON, want)
		}
	}
	for argument, want := range map[string]string{
		"": "want {", "{}": "at least one", `{"operators": [1]}`: "operators[0]: want a name", `{"operators": ["NOPE"]}`: "operators[0]: NOPE: it is not an operator",
		`{"operators": [{"command": "REQ"}]}`: "name of a header field", `{"operators": ["UPSTREAM_TLS_SESSION_ID"]}`: "use %UPSTREAM_CONNECTION_ID%",
		`{"operators": ["PROTOCOL"], "omit": true}`: `"omit"`, `{"operators": [{"command": "REQ", "parm": "a"}]}`: `operators[0]: want a name or {"command": NAME}: json: unknown field "parm"`, `{"operators": ["PROTOCOL"]} more`: "want {",
	} {
		if _, err := compileFormat("%COALESCE("+argument+")%", false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %s", argument, err, want)
		}
	}
}

// The operator that is taken is asked once.
func TestCoalesceAsksOnce(t *testing.T) {
	asked := 0
	plain["ASKED"] = operator{write: func(b []byte, _ *record) ([]byte, bool) {
		asked++
		return append(b, 'x'), true
	}}
	defer delete(plain, "ASKED")
	op, err := coalesce(`{"operators": ["ASKED"]}`)
	if err != nil {
		t.Fatal(err)
	}
	req, resp := sample()
	if got, found := jsonOperator(op)(nil, &record{req: req, resp: resp}); string(got) != `"x"` || !found || asked != 1 {
		t.Errorf("got %s, asked %d times", got, asked)
	}
}

// Of tries the last one's endpoint is told, if there was a connection to it. How
// connections ended is only told of requests.
func TestTries(t *testing.T) {
	connected := func(req *stream.Request) {
		req.Info.Upstream, req.Info.UpstreamName, req.Info.UpstreamConnection = netip.MustParseAddrPort("10.0.0.9:80"), "nine", 7
		req.Info.UpstreamAsked, req.Info.UpstreamWait = true, 1500*time.Microsecond
		req.Info.Trace = stream.Trace{ID: [16]byte{1}, Span: [8]byte{2, 3}}
	}
	failed := func(req *stream.Request) {
		connected(req)
		req.Info.NextTry()
		req.Info.UpstreamAsked = true
	}
	for word, want := range map[string][2]string{
		"UPSTREAM_HOSTS_ATTEMPTED": {"10.0.0.9:80", "-"}, "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": {"10.0.0.9", "-"}, "UPSTREAM_HOST_NAMES_ATTEMPTED": {"nine", "-"},
		"UPSTREAM_CONNECTION_IDS_ATTEMPTED": {"7", "-"}, "UPSTREAM_CONNECTION_POOL_READY_DURATION": {"1", "0"}, "UPSTREAM_DETECTED_CLOSE_TYPE": {"Normal", "Normal"},
		"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": {"", "-"}, "DOWNSTREAM_HANDSHAKE_DURATION": {"-", "-"}, "SPAN_ID": {"0203000000000000", "0203000000000000"},
	} {
		if got, _ := written(t, word, connected); got != want[0] {
			t.Errorf("%s: got %s; want %s", word, got, want[0])
		}
		if got, _ := written(t, word, failed); got != want[1] {
			t.Errorf("%s of a try without a connection: got %s; want %s", word, got, want[1])
		}
	}
	req, _ := sample()
	connected(req)
	req.Method = ""
	f, err := compileFormat("%UPSTREAM_DETECTED_CLOSE_TYPE% %DOWNSTREAM_DETECTED_CLOSE_TYPE%", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.appendTo(nil, &record{req: req})); got != "- -" {
		t.Errorf("of a connection: got %s; want nothing", got)
	}
}

// The server's name is TLS's or the request's, as is asked.
func TestRequestedServerName(t *testing.T) {
	for word, want := range map[string][2]string{
		"REQUESTED_SERVER_NAME": {"sni", "-"}, "REQUESTED_SERVER_NAME(SNI_ONLY)": {"sni", "-"}, "REQUESTED_SERVER_NAME(SNI_FIRST:HOST)": {"sni", "details:9080"},
		"REQUESTED_SERVER_NAME(HOST_FIRST)": {"came", "came"}, "REQUESTED_SERVER_NAME(HOST_FIRST:HOST)": {"details:9080", "details:9080"}, "REQUESTED_SERVER_NAME(SNI_FIRST:ORIG)": {"sni", "came"},
	} {
		for i, sni := range []string{"sni", ""} {
			if got, _ := written(t, word, func(req *stream.Request) {
				req.Conn.SNI = sni
				req.Header.Set("x-envoy-original-host", "came")
			}); got != want[i] {
				t.Errorf("%s with %q: got %s; want %s", word, sni, got, want[i])
			}
		}
	}
	for _, word := range []string{"REQUESTED_SERVER_NAME(X)", "REQUESTED_SERVER_NAME(SNI_FIRST:X)", "REQUESTED_SERVER_NAME(HOST_ONLY)"} {
		if _, err := compileFormat("%"+word+"%", false); err == nil {
			t.Errorf("%s is taken", word)
		}
	}
}

// Names of unknown forms are told by their values, what we show upstreams by its names.
func TestOtherNames(t *testing.T) {
	some := func(value any) []byte {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	inside := func(p ...[]byte) []byte {
		return some(asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: bytes.Join(p, nil)})
	}
	form := some(asn1.ObjectIdentifier{1, 2, 3})
	var names []byte
	for _, value := range []any{asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("someone@corp")}, 70000, true, []byte("octets"), asn1.ObjectIdentifier{1, 2}} {
		names = append(names, inside(form, inside(some(value)))...)
	}
	names = append(names, inside(form)...) // has no value
	c := &x509.Certificate{DNSNames: []string{"a", "b"}, Extensions: []pkix.Extension{{Id: subjectAlternativeNames, Value: some(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: names})}}}
	for word, want := range map[string]string{"DOWNSTREAM_PEER_OTHERNAME_SAN": "someone@corp,70000,true,octets", "UPSTREAM_LOCAL_DNS_SAN": "a,b", "UPSTREAM_LOCAL_URI_SAN": "-"} {
		if got, _ := written(t, word, func(req *stream.Request) { req.Conn.TLS, req.Info.UpstreamShown = &stream.TLS{Peer: c}, c }); got != want {
			t.Errorf("%s: got %s; want %s", word, got, want)
		}
	}
}
