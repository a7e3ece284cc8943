package interop

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// streamListeners carry byte streams to clusters whose endpoint is asked whether it
// is well.
func streamListeners(addresses []string, port string, fields []string) string {
	var listeners, clusters strings.Builder
	for i, at := range addresses {
		host, number, _ := net.SplitHostPort(at)
		fmt.Fprintf(&listeners, `  - name: l%d
    address: {socket_address: {address: %s, port_value: %s}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c%d}}]}]
`, i, host, number, i)
		fmt.Fprintf(&clusters, `  - name: c%d
    type: STATIC
%s
    load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`, i, indent(fields[i], "    "), port)
	}
	return "static_resources:\n  listeners:\n" + listeners.String() + "  clusters:\n" + clusters.String()
}

// Byte streams outlast the health of their endpoint, or end with it, as they do with
// Envoy.
func TestStreamsEndAsWithEnvoy(t *testing.T) {
	t.Parallel() // it mostly waits
	binary := envoyBinary(t)
	var ill atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	const check = "health_checks: [{timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: {path: /}}]"
	fields := []string{check, check + "\nclose_connections_on_host_health_failure: true"}
	addresses := map[string][]string{}
	for _, who := range []string{"envoy", "lateen"} {
		addresses[who] = []string{freeAddress(t), freeAddress(t)}
	}
	config := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(config, []byte(streamListeners(addresses["envoy"], port, fields)), 0o600); err != nil {
		t.Fatal(err)
	}
	runEnvoy(t, binary, config)
	parsed, err := bootstrap.Parse([]byte(streamListeners(addresses["lateen"], port, fields)))
	if err != nil {
		t.Fatal(err)
	}
	run(t, proxy.Config{Bootstrap: parsed, DrainTime: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	conns := map[string][]net.Conn{}
	for who, list := range addresses {
		for _, at := range list {
			waitFor(t, at)
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // it has an endpoint once this is answered
			if _, err := conn.Read(make([]byte, 1024)); err != nil {
				t.Fatal(who, err)
			}
			conns[who] = append(conns[who], conn)
		}
	}
	ill.Store(true)
	ended := func(conn net.Conn) bool {
		conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)
	}
	for i := range fields {
		if got, want := ended(conns["lateen"][i]), ended(conns["envoy"][i]); got != want {
			t.Errorf("%s: ended %v; Envoy's %v", fields[i], got, want)
		} else if want != (i == 1) {
			t.Errorf("%s: ended %v", fields[i], want)
		}
	}
}
