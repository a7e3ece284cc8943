package admin

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

func server(t *testing.T, c Config) func(method, path string) (int, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c.Listeners = listener.NewSet(listener.Deps{Log: log})
	c.State = state.New(state.Config{Listeners: c.Listeners, Clusters: cluster.Deps{Log: log}, Log: log})
	c.Control = func() ads.Status { return ads.Status{} }
	c.Metrics = func(w io.Writer) error { _, err := io.WriteString(w, "istio_build 1\n"); return err }
	c.Node = &corev3.Node{Id: "sidecar~1"}
	if c.Ready == nil {
		c.Ready = func() bool { return true }
	}
	s := New(c)
	return func(method, path string) (int, string) {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec.Code, rec.Body.String()
	}
}

func TestReady(t *testing.T) {
	live := false
	ask := server(t, Config{Ready: func() bool { return live }})
	want := func(code int, text string) {
		t.Helper()
		number := map[string]string{"LIVE": "server.live: 1\nserver.state: 0\n", "DRAINING": "server.live: 0\nserver.state: 1\n", "INITIALIZING": "server.live: 0\nserver.state: 3\n"}[text]
		if _, got := ask("GET", "/stats?filter=^server.(state|live)$"); got != number {
			t.Errorf("%s: got %q, want %q", text, got, number)
		}
		if gotCode, got := ask("GET", "/ready"); gotCode != code || got != text+"\n" {
			t.Errorf("got %d %q; want %d %s", gotCode, got, code, text)
		}
	}
	want(503, "INITIALIZING")
	live = true
	want(200, "LIVE")
	ask("POST", "/healthcheck/fail")
	want(503, "DRAINING")
	ask("POST", "/healthcheck/ok")
	want(200, "LIVE")
}

// What changes something is asked by POST, as Envoy wants it.
func TestChangesArePosted(t *testing.T) {
	var drained []bool
	quit := false
	ask := server(t, Config{Drain: func(inbound bool) { drained = append(drained, inbound) }, Quit: func() { quit = true }})
	for _, path := range []string{"/drain_listeners", "/quitquitquit", "/healthcheck/fail", "/reset_counters"} {
		if code, _ := ask("GET", path); code != 405 {
			t.Errorf("GET %s: %d; want 405", path, code)
		}
	}
	ask("POST", "/drain_listeners?inboundonly")
	ask("POST", "/drain_listeners?graceful")
	ask("POST", "/quitquitquit")
	if len(drained) != 2 || !drained[0] || drained[1] || !quit {
		t.Errorf("drained %v, quit %v", drained, quit)
	}
}

func TestLogging(t *testing.T) {
	levels := &slog.LevelVar{}
	ask := server(t, Config{Level: levels})
	for path, want := range map[string]slog.Level{
		"/logging?level=debug": slog.LevelDebug, "/logging?proxy=error": slog.LevelError, "/logging?paths=proxy:warning": slog.LevelWarn,
	} {
		if code, _ := ask("POST", path); code != 200 || levels.Level() != want {
			t.Errorf("%s: %d, %v; want %v", path, code, levels.Level(), want)
		}
	}
	if code, text := ask("POST", "/logging?http2=debug"); code != 400 || !strings.Contains(text, `"http2"`) {
		t.Errorf("got %d %s; want the logger named", code, text)
	}
	if code, text := ask("POST", "/logging?level=loud"); code != 400 || !strings.Contains(text, `"loud"`) {
		t.Errorf("got %d %s; want the level named", code, text)
	}
}

func TestStats(t *testing.T) {
	ask := server(t, Config{Include: func(name string) bool { return strings.HasPrefix(name, "server.") }})
	if _, text := ask("GET", "/stats"); !strings.Contains(text, "server.live: 1\n") || strings.Contains(text, "cluster_manager") {
		t.Errorf("got\n%s", text)
	}
	if _, text := ask("GET", "/stats?filter=^server\\.state$"); text != "server.state: 0\n" {
		t.Errorf("filtered: %q", text)
	}
	if _, text := ask("GET", "/stats/prometheus"); !strings.HasPrefix(text, "istio_build 1\n") || !strings.Contains(text, "\n# TYPE envoy_server_live gauge\nenvoy_server_live 1\n") {
		t.Errorf("prometheus:\n%s", text)
	}
	if code, _ := ask("GET", "/stats?filter=("); code != 400 {
		t.Errorf("a filter that is none: %d", code)
	}
}

// Keys and secrets of a bootstrap are not shown, wherever they stand in it; the
// bootstrap itself stays as it is.
func TestSecretsAreNotShown(t *testing.T) {
	b := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal([]byte(`{"static_resources": {
		"secrets": [{"name": "plain", "generic_secret": {"secret": {"inline_string": "hush1"}, "secrets": {"more": {"inline_bytes": "aHVzaA=="}}}},
			{"name": "pair", "tls_certificate": {"certificate_chain": {"inline_string": "the chain"}, "private_key": {"inline_string": "hush2"}}}],
		"clusters": [{"name": "shop", "transport_socket": {"name": "tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
			"sni": "shop.example", "common_tls_context": {"tls_certificates": [{"private_key": {"inline_string": "hush3"}, "password": {"inline_string": "hush4"}}]}}}}]}}`), b); err != nil {
		t.Fatal(err)
	}
	before := proto.Clone(b)
	_, text := server(t, Config{Bootstrap: b})("GET", "/config_dump")
	if strings.Contains(text, "hush") || strings.Contains(text, "aHVzaA==") || strings.Count(text, redacted) != 4 {
		t.Errorf("shown:\n%s", text)
	}
	for _, want := range []string{"the chain", "shop.example", `"name": "plain"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown", want)
		}
	}
	if !proto.Equal(b, before) {
		t.Error("the bootstrap has changed")
	}
}

func TestMask(t *testing.T) {
	ask := server(t, Config{})
	_, text := ask("GET", "/config_dump?mask=bootstrap.node.id")
	if !strings.Contains(text, `"id": "sidecar~1"`) || strings.Contains(text, "dynamic_listeners") || !strings.Contains(text, "SecretsConfigDump") {
		t.Errorf("got\n%s", text)
	}
	if _, text := ask("GET", "/help"); !strings.Contains(text, "/reset_counters: ") {
		t.Errorf("help:\n%s", text)
	}
}

// An endpoint that health checks have not heard of is shown as out, by Envoy's
// words.
func TestHealthIsShown(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	listeners := listener.NewSet(listener.Deps{Log: log})
	st := state.New(state.Config{Listeners: listeners, Clusters: cluster.Deps{Log: log}, Log: log})
	m := &clusterv3.Cluster{}
	if err := protojson.Unmarshal([]byte(`{"name": "shop", "circuit_breakers": {"thresholds": [{"max_connections": 7, "track_remaining": true}]}, "health_checks": [{"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}],
		"load_assignment": {"cluster_name": "shop", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]}]}}`), m); err != nil {
		t.Fatal(err)
	}
	if err := st.Static(nil, []*clusterv3.Cluster{m}, nil); err != nil {
		t.Fatal(err)
	}
	s := New(Config{State: st, Listeners: listeners, Ready: func() bool { return true }, Control: func() ads.Status { return ads.Status{} }})
	for path, want := range map[string]string{"/clusters": "shop::10.0.0.1:80::health_flags::/failed_active_hc\n", "/clusters?format=json": `"failed_active_health_check": true`,
		"/stats": "cluster.shop.circuit_breakers.default.remaining_cx: 7\ncluster.shop.circuit_breakers.default.remaining_pending: 1024\ncluster.shop.circuit_breakers.default.remaining_retries: 3\ncluster.shop.circuit_breakers.default.remaining_rq: 1024\n"} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: got %s; want %q in it", path, rec.Body, want)
		}
	}
}

// A cluster's name is no format, and a static one was added by nobody's API; a serial
// number has whole bytes.
func TestClustersAreShown(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	listeners := listener.NewSet(listener.Deps{Log: log})
	st := state.New(state.Config{Listeners: listeners, Clusters: cluster.Deps{Log: log}, Log: log})
	if err := st.Static(nil, []*clusterv3.Cluster{{Name: "50%d"}}, nil); err != nil {
		t.Fatal(err)
	}
	s := New(Config{State: st, Listeners: listeners})
	for path, want := range map[string]string{"/clusters": "50%d::default_priority::max_connections::1024\n", "/clusters?format=json": `"added_via_api": false`} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: got %s; want %q in it", path, rec.Body, want)
		}
	}
	if got := certJSON(&x509.Certificate{SerialNumber: big.NewInt(0xabc)})["serial_number"]; got != "0abc" {
		t.Errorf("serial number %v", got)
	}
}

// Settings are shown by layer, and changed where there is a layer for it.
func TestRuntime(t *testing.T) {
	settings := runtime.New([]runtime.Layer{{Name: "static", Values: map[string]string{"a": "1", "b": "2"}}, {Name: "admin", Admin: true}})
	ask := server(t, Config{Runtime: settings})
	if code, body := ask("POST", "/runtime_modify?a=3&c=4"); code != 200 || body != "OK\n" {
		t.Errorf("got %d %q", code, body)
	}
	_, body := ask("GET", "/runtime")
	var shown struct {
		Layers  []string
		Entries map[string]struct {
			Layers []string `json:"layer_values"`
			Final  string   `json:"final_value"`
		}
	}
	if err := json.Unmarshal([]byte(body), &shown); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(shown); got != "{[static admin] map[a:{[1 3] 3} b:{[2 ] 2} c:{[ 4] 4}]}" {
		t.Error(got)
	}
	if settings.Key("a").Number(0) != 3 {
		t.Error("the change is not in force")
	}
	if _, body := ask("GET", "/stats?filter=^runtime"); !strings.Contains(body, "runtime.num_keys: 3\n") || !strings.Contains(body, "runtime.admin_overrides_active: 1\n") {
		t.Error(body)
	}
	if code, _ := ask("POST", "/runtime_modify"); code != 400 {
		t.Errorf("nothing to change: %d", code)
	}
	ask = server(t, Config{})
	if code, body := ask("POST", "/runtime_modify?a=3"); code != 503 || !strings.Contains(body, "admin_layer") {
		t.Errorf("without a layer: %d %s", code, body)
	}
	if code, body := ask("GET", "/runtime"); code != 200 || !strings.Contains(body, `"entries": {}`) {
		t.Errorf("without settings: %d %s", code, body)
	}
}

// Whoever waits finds out what for.
func TestInitDump(t *testing.T) {
	ask := server(t, Config{})
	if code, text := ask("GET", "/init_dump"); code != 200 || !strings.Contains(text, `"unready_targets_dumps": []`) {
		t.Errorf("got %d %s", code, text)
	}
}

// Parts of names are labels of metrics, as Istio's tags have it.
func TestMetricOf(t *testing.T) {
	for family, want := range map[string]metric{
		"cluster.upstream_rq_total":                          {"envoy_cluster_upstream_rq_total", ""},
		"cluster.upstream_rq_2xx":                            {"envoy_cluster_upstream_rq", `response_code_class="2xx"`},
		"http.downstream_rq_5xx":                             {"envoy_http_downstream_rq", `response_code_class="5xx"`},
		"http.rbac.denied":                                   {"envoy_http_rbac", `authz_enforce_result="denied"`},
		"http.rbac.istio_dry_run_allow_.shadow_denied":       {"envoy_http_rbac", `authz_dry_run_action="allow",authz_dry_run_result="denied"`},
		"overload.envoy.resource_monitors.fixed-heap.active": {"envoy_overload_envoy_resource_monitors_fixed_heap_active", ""},
	} {
		if got := metricOf(family); got != want {
			t.Errorf("%s is %+v, want %+v", family, got, want)
		}
	}
}
