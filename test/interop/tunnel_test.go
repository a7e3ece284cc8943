package interop

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
)

// entrance carries what comes to an address behind a CONNECT.
func entrance(address, next, options string) string {
	return static(`
  - name: in
    address: `+socketAddress(address)+`
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: out
          tunneling_config: {hostname: "db.example:5432", headers_to_add: [{header: {key: x-from, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}`,
		upstream("out", next, options))
}

// exit ends a CONNECT with the right host and field.
func exit(address, next, codec string) string {
	return static(web{
		name: "out", address: address,
		manager: "codec_type: " + codec + "\nhttp2_protocol_options: {allow_connect: true}\nupgrade_configs: [{upgrade_type: CONNECT}]",
		hosts: `
- name: db
  domains: ["db.example:5432"]
  routes:
  - {match: {connect_matcher: {}, headers: [{name: x-from, string_match: {exact: 127.0.0.1}}]}, route: {cluster: db, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}`,
	}.String(), upstream("db", next))
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
	runners := map[string]runner{"ours": runOurs, "envoy": runEnvoy}
	for _, tc := range []struct{ in, out string }{{"ours", "ours"}, {"ours", "envoy"}, {"envoy", "ours"}} {
		for codec, options := range map[string]string{"HTTP1": "", "HTTP2": "http2_protocol_options: {}"} {
			t.Run(tc.in+" to "+tc.out+" over "+codec, func(t *testing.T) {
				in, out := freeAddress(t), freeAddress(t)
				runners[tc.out](t, exit(out, echo.Addr().String(), codec))
				waitFor(t, out)
				runners[tc.in](t, entrance(in, out, options))
				waitFor(t, in)
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
