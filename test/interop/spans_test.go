package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tracedRoutes are of listeners whose requests are traced.
const tracedRoutes = `
- {match: {prefix: /decorated}, decorator: {operation: my-operation}, route: {cluster: up}}
- {match: {prefix: /kept}, decorator: {operation: my-operation, propagate: false}, route: {cluster: up}}
- {match: {prefix: /never}, tracing: {random_sampling: {numerator: 0}, overall_sampling: {numerator: 100}}, route: {cluster: up}}
- {match: {prefix: /tagged}, tracing: {custom_tags: [{tag: own, literal: {value: w}}, {tag: both, literal: {value: route}}]}, route: {cluster: up}}
- {match: {prefix: /direct}, decorator: {operation: direct-operation}, direct_response: {status: 500}}
- {match: {prefix: /gone}, route: {cluster: gone}}
- {match: {prefix: /plain}, route: {cluster: up}}`

// traced is a bootstrap with a listener for each way in which requests are traced.
func traced(addresses []string, collector, up string) string {
	var listeners string
	for i, address := range addresses {
		listeners += web{
			name: fmt.Sprint("listener", i), address: address, routes: tracedRoutes,
			listener: "traffic_direction: " + []string{"UNSPECIFIED", "INBOUND", "OUTBOUND"}[i%3],
			manager: fmt.Sprintf(`
tracing:
  spawn_upstream_span: %v
  custom_tags: [{tag: literal, literal: {value: v}}, {tag: both, literal: {value: listener}}, {tag: environment, environment: {name: LATEEN_NOT_SET, default_value: unset}}, {tag: header, request_header: {name: x-tag, default_value: none}}]
  provider: {name: zipkin, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: collector, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON}}`, i >= 3),
		}.String()
	}
	return "node: {id: me, cluster: service}" + static(listeners, upstream("collector", collector)+upstream("up", up)+upstream("gone", "1"))
}

var (
	hexID     = regexp.MustCompile(`"[0-9a-f]{16}"`)
	localPort = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// Spans and what is told of them on the wire are Envoy's: on the way in and out, with
// and without a span for the exchange with the upstream, named by either side.
func TestSpansAsEnvoySendsThem(t *testing.T) {
	theirs, ours := tellSpans(t, runEnvoy), tellSpans(t, runOurs)
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Errorf("(-ours +Envoy):\n%s", diff)
	}
}

// tellSpans gives the spans of each request, and what it and its reply carried.
func tellSpans(t *testing.T, run runner) []string {
	spans := make(chan map[string]any, 1000)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var list []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
		for _, s := range list {
			spans <- s
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(collector.Close)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/named") {
			w.Header().Set("x-envoy-decorator-operation", "from-upstream")
		}
		for _, name := range []string{"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-Envoy-Decorator-Operation"} {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header.Get(name))
		}
	}))
	t.Cleanup(up.Close)
	var addresses []string
	for range 6 {
		addresses = append(addresses, freeAddress(t))
	}
	run(t, traced(addresses, collector.Listener.Addr().String(), up.Listener.Addr().String()))
	var out []string
	sampled := 0
	for i, address := range addresses {
		waitFor(t, address)
		for _, path := range []string{"/plain", "/decorated", "/kept", "/never", "/tagged", "/plain/named", "/decorated/named", "/direct", "/gone"} {
			for _, headers := range [][2]string{{}, {"x-envoy-decorator-operation", "from-client"}, {"b3", "0af7651916cd43dd-00f067aa0ba902b7-1"}, {"x-tag", "told"}} {
				out = append(out, fmt.Sprintf("%d %s %v: %s", i, path, headers, askTraced(t, address+path, headers)))
				if path != "/never" || headers[0] == "b3" {
					sampled++
					if i >= 3 && path != "/direct" {
						sampled++ // the upstream's
					}
				}
			}
		}
	}
	var told []string
	for range sampled {
		select {
		case s := <-spans:
			told = append(told, spanText(t, s))
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d spans have come", len(told), sampled)
		}
	}
	slices.Sort(told)
	return append(out, told...)
}

// askTraced tells what the upstream saw, and the reply's own field.
func askTraced(t *testing.T, url string, header [2]string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header[0] != "" {
		req.Header.Set(header[0], header[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := hexID.ReplaceAllString(string(body), `"ID"`)
	if resp.StatusCode == 503 {
		text = "503"
	}
	return text + resp.Header.Get("x-envoy-decorator-operation")
}

// spanText is a span without what differs from run to run. Annotations are Envoy's
// alone.
func spanText(t *testing.T, s map[string]any) string {
	t.Helper()
	for _, name := range []string{"timestamp", "duration", "localEndpoint", "annotations"} {
		delete(s, name)
	}
	if tags, ok := s["tags"].(map[string]any); ok {
		for _, name := range []string{"guid:x-request-id", "node_id", "response_size"} {
			delete(tags, name)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return localPort.ReplaceAllString(hexID.ReplaceAllString(string(text), `"ID"`), "ADDRESS")
}
