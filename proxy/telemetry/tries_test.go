package telemetry

import (
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
	r := &record{req, resp}
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
	} {
		if _, err := compileFormat("%COALESCE("+argument+")%", false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %s", argument, err, want)
		}
	}
}

// Of tries the last one's endpoint is told, if there was a connection to it. Requests
// have no handshake, connections have.
func TestTries(t *testing.T) {
	connected := func(req *stream.Request) {
		req.Info.Upstream, req.Info.UpstreamName, req.Info.UpstreamConnection = netip.MustParseAddrPort("10.0.0.9:80"), "nine", 7
		req.Info.UpstreamAsked, req.Info.UpstreamWait = true, 1500*time.Microsecond
		req.Conn.TLS, req.Conn.Start = &stream.TLS{Done: req.Info.Start}, req.Info.Start.Add(-3*time.Millisecond)
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
	f, err := compileFormat("%DOWNSTREAM_HANDSHAKE_DURATION% %DOWNSTREAM_DETECTED_CLOSE_TYPE%", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.appendTo(nil, &record{req, nil})); got != "3 -" {
		t.Errorf("of a connection: got %s; want 3 -", got)
	}
}
