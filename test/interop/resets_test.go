package interop

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// What the log tells of a client of HTTP/2 that takes its request back, before the
// answer and in it, is what Envoy tells.
func TestClientsThatResetAsEnvoy(t *testing.T) {
	envoyBinary(t)
	up := upstreams{v1: newBackend(t, "v1"), v2: newBackend(t, "v2"), services: newServices(t), proxied: newProxied(t), stories: []story{{name: "a.example", routes: `
routes:
- {match: {prefix: /hedged}, route: {cluster: v1, prefix_rewrite: /, timeout: 9s, hedge_policy: {hedge_on_per_try_timeout: true}, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s}}}
- {match: {prefix: /}, route: {cluster: v1, timeout: 9s}}`}}}
	theirs, ours := both(t, up.bootstrap)
	for _, path := range []string{"/sleep/900", "/drip/300/3", "/hedgedsleep/900"} {
		var lines []string
		for _, p := range []*peer{theirs, ours} {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			ctx, cancel := context.WithTimeout(t.Context(), 450*time.Millisecond)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "a.example"
			if resp, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // it breaks off
				resp.Body.Close()
			}
			cancel()
			lines = append(lines, sortFlags(p.log.next(t)))
			client.CloseIdleConnections()
		}
		if lines[0] != lines[1] {
			t.Errorf("%s: %s\nwant Envoy's %s", path, lines[1], lines[0])
		}
	}
}
