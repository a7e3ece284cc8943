package interop

import (
	"fmt"
	"strings"
	"testing"
)

// What a policy rewrites of a field chooses the endpoint: values that become the same go to
// the same one.
func TestRewrittenHashAsEnvoy(t *testing.T) {
	var ends []string
	for i := range 8 {
		ends = append(ends, "{endpoint: {address: "+socketAddress(newBackend(t, fmt.Sprint("e", i)).port)+"}}")
	}
	agree(t, func(name string, run runner) (out []string) {
		p := start(t, name, run, func(p *peer) string {
			return static(web{name: "web", address: p.address, manager: accessLog(p.log.file, text("%UPSTREAM_HOST%")),
				routes: `
- {match: {prefix: /}, route: {cluster: ring, hash_policy: [{header: {header_name: x-user, regex_rewrite: {pattern: {regex: "^([a-z]+)-[0-9]+$"}, substitution: "\\1"}}}]}}`}.String(),
				"  - {name: ring, type: STATIC, lb_policy: MAGLEV, load_assignment: {cluster_name: ring, endpoints: [{lb_endpoints: ["+strings.Join(ends, ", ")+"]}]}}\n")
		})
		for _, user := range []string{"a-1", "a-2", "a-34", "b-1", "c-1", "d-1", "e-1", "f-1"} {
			first := p.ask(t, "a", get("/", "x-user: "+user)).Log
			word, _, _ := strings.Cut(user, "-")
			out = append(out, fmt.Sprint(user, " as ", word, ": ", first == p.ask(t, "a", get("/", "x-user: "+word)).Log))
		}
		return out
	})
}
