package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Behind sni_cluster a connection goes to the cluster that is called like the server its
// client wants: to none where there is none, and where it would go anyhow without a name.
func TestClustersByServerNamesAsEnvoy(t *testing.T) {
	named := func(name string) string {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		return upstream(name, s.Listener.Addr().String())
	}
	clusters := named("a.test") + named("other")
	agree(t, func(name string, run runner) (out []string) {
		p := start(t, name, run, func(p *peer) string {
			return static(fmt.Sprintf(`  - name: tls
    address: %s
    listener_filters: [{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:
    - filters:
      - {name: sni, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster}}
      - {name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: other}}
`, socketAddress(p.address)), clusters)
		})
		for _, sni := range []string{"a.test", "A.test", "none.test", "other", ""} {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{ServerName: sni, InsecureSkipVerify: true}}}
			resp, err := client.Get("https://" + p.address)
			if err != nil {
				out = append(out, sni+": nobody")
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			out = append(out, fmt.Sprint(sni, ": ", string(text), err))
		}
		return out
	})
}
