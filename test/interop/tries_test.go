package interop

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// tryOperators are of the tries of a request, of how connections ended, and those that
// choose among others, as they are in JSON.
var tryOperators = []string{
	"UPSTREAM_HOSTS_ATTEMPTED", "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_HOST_NAMES_ATTEMPTED", "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
	"UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_CONNECTION_POOL_READY_DURATION", "DOWNSTREAM_HANDSHAKE_DURATION", "UPSTREAM_HOST", "UPSTREAM_HOST_NAME", "UPSTREAM_PROTOCOL", "UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_CONNECTION_ID",
	"DOWNSTREAM_LOCAL_CLOSE_REASON", "DOWNSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_LOCAL_CLOSE_REASON", "UPSTREAM_DETECTED_CLOSE_TYPE", "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID",
	"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", "LOCAL_REPLY_BODY", "CUSTOM_FLAGS", "SPAN_ID", "RESPONSE_FLAGS",
	`COALESCE({"operators":["CUSTOM_FLAGS","PROTOCOL"]})`, `COALESCE({"operators":[{"command":"REQ","param":"none"},{"command":"RESPONSE_CODE"}]})`, `COALESCE({"operators":[{"command":"REQ","param":"none"}]})`,
	`COALESCE({"operators":["RESPONSE_FLAGS","PROTOCOL"]})`, `COALESCE({"operators":[{"command":"REQ","param":":authority","max_length":4}, "PROTOCOL"]})`, `COALESCE({"operators":["RESPONSE_CODE"]}):2`,
	`COALESCE({"operators":[{"command":"COALESCE","param":"{\"operators\":[\"SPAN_ID\",\"UPSTREAM_WIRE_BYTES_RECEIVED\"]}"}]})`,
}

// What the access log tells of tries and connections is what Envoy tells.
func TestTriesAsEnvoy(t *testing.T) {
	answer := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			switch r.URL.Path {
			case "/reset":
				panic(http.ErrAbortHandler)
			case "/slow":
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	a, b := answer(503), answer(503)
	endpoints := func(name string, list ...string) string {
		return fmt.Sprintf("  - name: %s\n    type: STATIC\n    connect_timeout: 1s\n    load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [%s]}]}\n", name, name, strings.Join(list, ", "))
	}
	endpoint := func(name, address string) string {
		return fmt.Sprintf("{endpoint: {hostname: %q, address: %s}}", name, socketAddress(address))
	}
	format := map[string]string{}
	for _, operator := range tryOperators {
		format[operator] = "%" + operator + "%"
	}
	again := func(n int) string {
		return fmt.Sprintf("retry_policy: {retry_on: '5xx,reset,connect-failure', num_retries: %d, retry_back_off: {base_interval: 0.001s, max_interval: 0.001s}}", n)
	}
	agree(t, func(name string, run runner) (out []map[string]any) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				manager: accessLog(p.log.file, inJSON(t, format)),
				routes: `
- {match: {prefix: /direct}, direct_response: {status: 418, body: {inline_string: teapot}}}
- {match: {prefix: /none}, route: {cluster: none, ` + again(2) + `}}
- {match: {prefix: /mixed}, route: {cluster: mixed, ` + again(2) + `}}
- {match: {prefix: /few}, route: {cluster: few}}
- {match: {prefix: /empty}, route: {cluster: empty, ` + again(1) + `}}
- {match: {prefix: /slow}, route: {cluster: one, timeout: 0.2s}}
- {match: {prefix: /}, route: {cluster: one, ` + again(2) + `}}`,
			}.String(), endpoints("one", endpoint("A", a))+endpoints("none", endpoint("x", "1"))+endpoints("empty")+
				upstream("few", a, "circuit_breakers: {thresholds: [{max_requests: 0}]}")+endpoints("mixed", endpoint("x", "1"), endpoint("", b)))
		})
		for _, path := range []string{"/direct", "/", "/", "/reset", "/none", "/mixed", "/mixed", "/few", "/empty", "/slow"} {
			line := p.logged(t, path)
			line["path"] = path
			for name, value := range line {
				if value == "UF,URX" {
					line[name] = "URX,UF" // Envoy has them in the order of their setting
				}
			}
			for _, name := range []string{"UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_IDS_ATTEMPTED"} {
				if id := line[name]; id != nil && id != 0.0 {
					line[name] = "some"
				}
			}
			if local, is := line["UPSTREAM_LOCAL_ADDRESS"].(string); is {
				line["UPSTREAM_LOCAL_ADDRESS"], _, _ = net.SplitHostPort(local)
			}
			if took, is := line["UPSTREAM_CONNECTION_POOL_READY_DURATION"].(float64); is && took < 100 {
				line["UPSTREAM_CONNECTION_POOL_READY_DURATION"] = "soon"
			}
			out = append(out, line)
			if path == "/mixed" && len(out) > 1 && out[len(out)-2]["path"] == path && line["UPSTREAM_LOCAL_ADDRESS"] != nil {
				out[len(out)-2], out[len(out)-1] = line, out[len(out)-2] // which endpoint is first is chance
			}
		}
		return out
	})
}
