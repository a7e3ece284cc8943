package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// streamListeners carry byte streams to clusters whose endpoint is asked whether it
// is well.
func streamListeners(addresses []string, next string, fields []string) string {
	var listeners, clusters string
	for i, at := range addresses {
		listeners += fmt.Sprintf(`  - name: l%d
    address: %s
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c%d}}]}]
`, i, socketAddress(at), i)
		clusters += upstream(fmt.Sprint("c", i), next, fields[i])
	}
	return static(listeners, clusters)
}

// Byte streams outlast the health of their endpoint, or end with it, as they do with
// Envoy.
func TestStreamsEndAsWithEnvoy(t *testing.T) {
	t.Parallel() // it mostly waits
	var ill atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	const check = "health_checks: [{timeout: 1s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 2, healthy_threshold: 1, http_health_check: {path: /}}]"
	fields := []string{check, check + "\nclose_connections_on_host_health_failure: true"}
	connect := func(run runner) (conns []net.Conn) {
		addresses := []string{freeAddress(t), freeAddress(t)}
		run(t, streamListeners(addresses, s.Listener.Addr().String(), fields))
		for _, at := range addresses {
			waitFor(t, at)
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // it has an endpoint once this is answered
			if _, err := conn.Read(make([]byte, 1024)); err != nil {
				t.Fatal(at, err)
			}
			conns = append(conns, conn)
		}
		return conns
	}
	theirs, ours := connect(runEnvoy), connect(runOurs)
	ill.Store(true)
	ended := func(conn net.Conn) bool {
		conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)
	}
	for i := range fields {
		if got, want := ended(ours[i]), ended(theirs[i]); got != want {
			t.Errorf("%s: ended %v; Envoy's %v", fields[i], got, want)
		} else if want != (i == 1) {
			t.Errorf("%s: ended %v", fields[i], want)
		}
	}
}
