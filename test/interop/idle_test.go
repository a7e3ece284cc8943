package interop

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// The idle timeouts of one side alone end no byte stream.
func TestIdleTimeoutsOfOneSideAsEnvoy(t *testing.T) {
	agree(t, func(name string, run runner) string {
		up := serve(t, func(conn net.Conn) {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		})
		p := start(t, name, run, func(p *peer) string {
			return static(fmt.Sprintf(`
  - name: tcp
    address: %s
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, downstream_idle_timeout: 0.05s, upstream_idle_timeout: 0.05s}}]}]`, socketAddress(p.address)), upstream("up", up))
		})
		conn := p.dial(t)
		defer conn.Close()
		fmt.Fprint(conn, "a")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := conn.Read(make([]byte, 1))
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			return "open"
		}
		return "ended"
	})
}
