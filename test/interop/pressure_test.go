package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Under pressure timeouts are as short as with Envoy, also those that run already.
func TestTimeoutsUnderPressureAsEnvoy(t *testing.T) {
	t.Parallel() // it mostly waits
	silent := serve(t, func(conn net.Conn) {
		defer conn.Close()
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil && req.URL.Path == "/" {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		io.Copy(io.Discard, conn)
	})
	bootstrap := func(address string) string {
		return `
overload_manager:
  refresh_interval: 0.2s
  resource_monitors:
  - {name: heap, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1}}
  actions:
  - name: envoy.overload_actions.reduce_timeouts
    triggers: [{name: heap, scaled: {scaling_threshold: 0.1, saturation_threshold: 0.9}}]
    typed_config:
      "@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig
      timer_scale_factors:
      - {timer: HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 1s}
      - {timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_scale: {value: 1}}
      - {timer: HTTP_DOWNSTREAM_CONNECTION_MAX, min_timeout: 3000s}
` + static(web{
			name: "web", address: address, manager: "stream_idle_timeout: 200s\ncommon_http_protocol_options: {idle_timeout: 600s, max_connection_duration: 6000s}",
			routes: "\n- {match: {prefix: /}, route: {cluster: silent, timeout: 0s}}",
		}.String(), upstream("silent", silent))
	}
	for _, tc := range []struct{ name, say, want string }{
		{"idle from the start", "", ""},
		{"idle behind a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200"},
		{"nothing moves", "GET /never HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 504"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, run := range map[string]runner{"ours": runOurs, "envoy": runEnvoy} {
				at := freeAddress(t)
				run(t, bootstrap(at))
				waitFor(t, at)
				conn, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				start := time.Now()
				conn.SetDeadline(start.Add(20 * time.Second))
				fmt.Fprint(conn, tc.say)
				got, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(got), tc.want) || tc.want == "" && len(got) > 0 {
					t.Errorf("%s: got %q, %v after %v", name, got, err, time.Since(start))
				}
			}
		})
	}
}
