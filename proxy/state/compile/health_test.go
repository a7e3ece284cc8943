package compile

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
)

const probe = `"timeout": "1s", "interval": "2s", "unhealthy_threshold": 3, "healthy_threshold": 4, "http_health_check": {"path": "/"}`

func TestHealthChecks(t *testing.T) {
	got := balanced(t, `"health_checks": [{`+probe+`, "unhealthy_interval": "3s", "healthy_edge_interval": "4s", "unhealthy_edge_interval": "5s", "no_traffic_interval": "6s", "no_traffic_healthy_interval": "7s",
		"initial_jitter": "8s", "interval_jitter": "9s", "interval_jitter_percent": 10}, {`+probe+`}], "ignore_health_on_host_removal": true, "close_connections_on_host_health_failure": true,
		"common_lb_config": {"ignore_new_hosts_until_first_hc": true, "close_connections_on_host_set_change": true}`)
	if len(got.HealthChecks) != 2 || !got.IgnoreNew || !got.IgnoreHealthOnRemoval || !got.CutUnhealthy || !got.RenewOnChange {
		t.Fatalf("got %+v", got)
	}
	h := got.HealthChecks[0]
	for i, d := range []time.Duration{h.Timeout, h.Interval, h.Unhealthy, h.HealthyEdge, h.UnhealthyEdge, h.NoTraffic, h.NoTrafficHealthy, h.Initial, h.Jitter} {
		if want := time.Duration(i+1) * time.Second; d != want {
			t.Errorf("duration %d is %v; want %v", i, d, want)
		}
	}
	if h.JitterPercent != 10 || h.Failures != 3 || h.Successes != 4 {
		t.Errorf("got %+v", h)
	}
}

// Probes go over the transport socket that their criteria choose.
func TestProbesHaveTheirOwnSocket(t *testing.T) {
	const raw = `{"name": "raw", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}`
	const proxied = `{"name": "pp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", "transport_socket": ` + raw + `}}`
	sockets := `"transport_socket_matches": [{"name": "plain", "match": {"for": "probes"}, "transport_socket": ` + raw + `}], "transport_socket": ` + proxied
	for criteria, plain := range map[string]bool{`{"for": "probes"}`: true, `{"for": "others"}`: false} {
		got := balanced(t, sockets+`, "health_checks": [{`+probe+`, "transport_socket_match_criteria": `+criteria+`}, {`+probe+`}]`)
		if s := got.HealthChecks[0].Socket; s == nil || (s.TLS == nil) != plain || got.HealthChecks[1].Socket != nil {
			t.Errorf("%s: got %+v", criteria, s)
		}
		if _, ok := got.TLS.(*pool.Proxied); !ok {
			t.Errorf("requests go over %T", got.TLS)
		}
	}
}

func TestEndpointsThatAreProbedElsewhere(t *testing.T) {
	endpoint := func(config string) string {
		return `"load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}, "health_check_config": {` + config + `}}}]}]}`
	}
	for config, want := range map[string]cluster.Probed{
		`"port_value": 81`:                    {Port: 81},
		`"hostname": "own"`:                   {Host: "own"},
		`"disable_active_health_check": true`: {Off: true},
		`"address": {"socket_address": {"address": "10.0.0.2", "port_value": 82}}`:                   {Address: netip.MustParseAddrPort("10.0.0.2:82")},
		`"port_value": 81, "address": {"socket_address": {"address": "10.0.0.2", "port_value": 82}}`: {Address: netip.MustParseAddrPort("10.0.0.2:81"), Port: 81},
	} {
		if got := balanced(t, endpoint(config)).Endpoints[0].Rare.Probed; *got != want {
			t.Errorf("%s: got %+v; want %+v", config, *got, want)
		}
	}
	_, err := compiler().Cluster(clusterOf(t, endpoint(`"address": {"socket_address": {"address": "shop", "port_value": 82}}`)))
	if err == nil || !strings.Contains(err.Error(), "health_check_config.address.socket_address.address") {
		t.Errorf("a name: got %v", err)
	}
}
