package interop

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Requests that come by a Unix socket have no client's address, unless a PROXY header
// tells of one: what is made of that, and what the log says, is as in Envoy.
func TestUnixSocketsAsEnvoy(t *testing.T) {
	backend := newBackend(t, "v1")
	for _, inside := range []bool{false, true} {
		for _, remote := range []bool{false, true} {
			theirs, ours := both(t, func(p *peer) string {
				p.address = filepath.Join(t.TempDir(), "socket")
				return static(web{
					name: "web", address: p.address,
					listener: `
listener_filters:
- name: envoy.filters.listener.proxy_protocol
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true}`,
					manager: fmt.Sprintf(`
use_remote_address: %v
append_x_forwarded_port: true
internal_address_config: {unix_sockets: %v}
%s`, remote, inside, accessLog(p.log.file, text(endsOfConnections))),
					routes: `
- {match: {prefix: /}, route: {cluster: v1, hash_policy: [{connection_properties: {source_ip: true}}]}}`,
				}.String(), upstream("v1", backend.port, "lb_policy: RING_HASH"))
			})
			for _, a := range []ask{
				get("/"), get("/", "x-forwarded-for: 1.2.3.4"), get("/", "x-forwarded-for: 10.1.2.3"), get("/", "x-envoy-max-retries: 3", "x-envoy-internal: true"),
				{path: "/", preamble: "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"},
			} {
				want, got := theirs.ask(t, "a.example", a), ours.ask(t, "a.example", a)
				want.Log, got.Log = strings.ReplaceAll(want.Log, theirs.address, "path"), strings.ReplaceAll(got.Log, ours.address, "path")
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("use_remote_address %v, unix_sockets %v: %q %q (-ours +Envoy):\n%s", remote, inside, a.preamble, a.headers, diff)
				}
			}
		}
	}
}

// endsOfConnections is a log's line about the two ends of the downstream connection.
const endsOfConnections = "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% " +
	"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_PORT% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_PORT%"
