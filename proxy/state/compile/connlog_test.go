package compile

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// A listener's own access log has a line of each connection, when it ends.
func TestConnectionsAreLogged(t *testing.T) {
	const denied = `{"name": "r", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "statPrefix": "r", "rules": {"action": "DENY", "policies": {"p": {"permissions": [{"any": true}], "principals": [{"any": true}]}}}}}, `
	http := `{"name": "http", "typedConfig": {"@type": "type.googleapis.com/` + httpManager + `", "statPrefix": "h", "serverHeaderTransformation": "PASS_THROUGH", "httpFilters": [` + routerFilter +
		`], "routeConfig": {"virtualHosts": [{"name": "h", "domains": ["*"], ` + direct(5) + `}]}}}`
	const tcp = `{"name": "t", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "statPrefix": "t", "cluster": "c"}}`
	const request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
	for _, c := range []struct{ name, filters, want string }{
		{"requests", http, fmt.Sprintf("chain 0 - %d SENT -\n", len(request))},
		{"requests that are denied", denied + http, "chain 0 - 0 0 rbac_access_denied_matched_policy[p]\n"},
		{"bytes", tcp, "chain 0 NC 0 0 -\n"},
		{"bytes that are denied", denied + tcp, "chain 0 - 0 0 rbac_access_denied_matched_policy[p]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines bytes.Buffer
			compiler := &Compiler{Secrets: credential.NewStore(), Telemetry: telemetry.New(telemetry.Config{Stdout: &lines}), Log: slog.New(slog.DiscardHandler), Handle: cluster.NewHandle}
			m := chainOf(t, c.filters)
			log := &accesslogv3.AccessLog{}
			if err := protojson.Unmarshal([]byte(`{"name": "l", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
				"logFormat": {"textFormat": "%FILTER_CHAIN_NAME% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %CONNECTION_TERMINATION_DETAILS%\n"}}}`), log); err != nil {
				t.Fatal(err)
			}
			m.AccessLog = append(m.AccessLog, log)
			l, err := compiler.Listener(m)
			if err != nil {
				t.Fatal(err)
			}
			client, server := net.Pipe()
			done := make(chan struct{})
			go func() {
				l.Config.Chains[0].Handler.Serve(server, &stream.Conn{Chain: "chain"}, nil)
				close(done)
			}()
			_, _ = io.WriteString(client, request) // one that is denied is closed
			got, _ := io.ReadAll(client)
			client.Close()
			<-done
			compiler.Telemetry.Flush()
			want := string(bytes.ReplaceAll([]byte(c.want), []byte("SENT"), fmt.Append(nil, len(got))))
			if lines.String() != want {
				t.Errorf("got %q, want %q", lines.String(), want)
			}
			lines.Reset()
			l.Config.Refused(&stream.Conn{}, io.EOF)
			compiler.Telemetry.Flush()
			if got, want := lines.String(), "- 0 - 0 0 -\n"; got != want {
				t.Errorf("a failed handshake: got %q, want %q", got, want)
			}
		})
	}
}
