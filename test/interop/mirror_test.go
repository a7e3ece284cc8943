package interop

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Copies go where the route, its host or its table says, and one by a field of the request
// where that names a cluster.
func TestMirrorsAsEnvoy(t *testing.T) {
	up := newBackend(t, "v1")
	agree(t, func(name string, run runner) (out []string) {
		copies := make(chan string, 10)
		mirror := func(name string) string {
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { copies <- name + " " + r.Host + r.URL.Path }))
			t.Cleanup(s.Close)
			return upstream(name, strings.TrimPrefix(s.URL, "http://"))
		}
		host := func(name, more, routes string) string {
			return "\n- name: " + name + "\n  domains: [" + name + "]\n" + indent(more, "  ") + "\n  routes:\n" + indent(routes, "  ")
		}
		const plain, own, named = "\n- {match: {prefix: /plain}, route: {cluster: up}}", "\n- {match: {prefix: /own}, route: {cluster: up, request_mirror_policies: [{cluster: m1}]}}",
			"\n- {match: {prefix: /named}, route: {cluster: up, prefix_rewrite: /x, request_mirror_policies: [{cluster_header: X-Mirror}]}, request_headers_to_add: [{header: {key: x-mirror, value: m3}, append_action: ADD_IF_ABSENT}]}" +
				"\n- {match: {prefix: /asked}, route: {cluster: up, request_mirror_policies: [{cluster_header: X-Mirror, disable_shadow_host_suffix_append: true}]}}"
		p := start(t, name, run, func(p *peer) string {
			return static(web{name: "web", address: p.address, table: "request_mirror_policies: [{cluster: m3}]",
				manager: accessLog(p.log.file, text("%RESPONSE_CODE%")),
				hosts:   host("some", "request_mirror_policies: [{cluster: m2}]", plain+own+named) + host("none", "", plain+own+named)}.String(),
				upstream("up", up.port)+mirror("m1")+mirror("m2")+mirror("m3"))
		})
		for _, host := range []string{"some", "none"} {
			for _, a := range []ask{get("/plain"), get("/own"), get("/named"), get("/named", "x-mirror: m1"), get("/asked", "x-mirror: m2"), get("/asked", "x-mirror: m2", "x-mirror: m1"), get("/asked", "x-mirror: missing"), get("/asked", "x-mirror:"), get("/asked")} {
				p.ask(t, host, a)
				told := "nobody"
				select {
				case told = <-copies:
				case <-time.After(500 * time.Millisecond):
				}
				out = append(out, host+a.path+" "+strings.Join(a.headers, " ")+": "+told)
			}
		}
		return out
	})
}
