package interop

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// clusterOf is a cluster of one endpoint.
func clusterOf(name, address, more string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("  - {name: %s, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}%s}\n", name, name, host, port, more)
}

// entrance carries what comes to an address behind a CONNECT.
func entrance(address, next, more string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`
node: {id: test, cluster: test}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: %s, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: out
          tunneling_config: {hostname: "db.example:5432", headers_to_add: [{header: {key: x-from, value: "%%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%%"}}]}
  clusters:
%s`, host, port, clusterOf("out", next, more))
}

// exit ends a CONNECT with the right host and field.
func exit(address, next, codec string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`
node: {id: test, cluster: test}
static_resources:
  listeners:
  - name: out
    address: {socket_address: {address: %s, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: out
          codec_type: %s
          http2_protocol_options: {allow_connect: true}
          upgrade_configs: [{upgrade_type: CONNECT}]
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config:
            virtual_hosts:
            - name: db
              domains: ["db.example:5432"]
              routes:
              - {match: {connect_matcher: {}, headers: [{name: x-from, string_match: {exact: 127.0.0.1}}]}, route: {cluster: db, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}
  clusters:
%s`, host, port, codec, clusterOf("db", next, ""))
}

// Bytes go through tunnels of which either end is ours, over either version of
// HTTP, and of which the other one is Envoy's.
func TestTunnels(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	accept.Each(echo, func(conn net.Conn) {
		io.Copy(conn, conn)
		io.WriteString(conn, "bye")
		conn.Close()
	})
	start := func(t *testing.T, who, text, address string) {
		t.Helper()
		if who == "envoy" {
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			runEnvoy(t, envoyBinary(t), file)
		} else {
			config, err := bootstrap.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			run(t, proxy.Config{Bootstrap: config, DrainTime: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
		}
		waitFor(t, address)
	}
	for _, tc := range []struct{ in, out string }{{"ours", "ours"}, {"ours", "envoy"}, {"envoy", "ours"}} {
		for codec, more := range map[string]string{"HTTP1": "", "HTTP2": ", http2_protocol_options: {}"} {
			t.Run(tc.in+" to "+tc.out+" over "+codec, func(t *testing.T) {
				in, out := freeAddress(t), freeAddress(t)
				start(t, tc.out, exit(out, echo.Addr().String(), codec), out)
				start(t, tc.in, entrance(in, out, more), in)
				conn, err := net.Dial("tcp", in)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				for _, text := range []string{"hello", "again"} {
					got := make([]byte, len(text))
					if _, err := io.WriteString(conn, text); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				if codec == "HTTP1" && tc.in != tc.out {
					return // Envoy ends an HTTP/1.1 tunnel when one direction has ended
				}
				conn.(*net.TCPConn).CloseWrite()
				if rest, err := io.ReadAll(conn); err != nil || string(rest) != "bye" {
					t.Errorf("at the end: %q, %v", rest, err)
				}
			})
		}
	}
}
