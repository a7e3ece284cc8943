package router

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
)

// A response that ends in its midst is a breach of the protocol, as Envoy has it; one
// that does not begin is the end of a connection.
func TestResponsesThatEndInTheirMidst(t *testing.T) {
	for name, tc := range map[string]struct {
		says, flags, details string
		status               int
	}{
		"nothing":           {"", "UC", "upstream_reset_before_response_started{connection_termination}", 503},
		"half a head":       {"HTTP/1.1 200 OK\r\nContent-Le", "UPE", "upstream_reset_before_response_started{protocol_error}", 502},
		"half the content":  {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "UPE", "upstream_reset_after_response_started{protocol_error}", 200},
		"half the chunks":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "UPE", "upstream_reset_after_response_started{protocol_error}", 200},
		"no chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n", "UPE", "upstream_reset_after_response_started{protocol_error}", 200},
		"until it has said": {"HTTP/1.1 200 OK\r\n\r\nabc", "-", "via_upstream", 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t, route.Forward{}, cluster.Config{}, 1)
				m.upstream("10.0.0.1:80", func(_ int, _ *http.Request, conn net.Conn) {
					_, _ = io.WriteString(conn, tc.says)
					conn.Close()
				})
				status, _, info := m.ask(get)
				if status != tc.status || info.Flags.String() != tc.flags || info.Details != tc.details {
					t.Errorf("got %d %v %q; want %d %s %q", status, info.Flags, info.Details, tc.status, tc.flags, tc.details)
				}
			})
		})
	}
}
