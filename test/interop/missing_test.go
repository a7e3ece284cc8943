package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// What Envoy refuses to start with because a route goes to a cluster that it does not
// know we refuse as well, and nothing else.
func TestMissingClustersAsEnvoy(t *testing.T) {
	binary := envoyBinary(t)
	for name, tc := range map[string]struct {
		more, table, routes string
	}{
		"none":                  {"", "", "route: {cluster: there}"},
		"one":                   {"", "", "route: {cluster: missing}"},
		"by a field":            {"", "", "route: {cluster_header: missing}"},
		"weighted":              {"", "", "route: {weighted_clusters: {clusters: [{name: there, weight: 1}, {name: missing, weight: 1}]}}"},
		"weighted by none":      {"", "", "route: {weighted_clusters: {clusters: [{name: there, weight: 1}, {name: missing, weight: 0}]}}"},
		"a mirror":              {"", "", "route: {cluster: there, request_mirror_policies: [{cluster: missing}]}"},
		"a mirror's own":        {"", "", "route: {cluster: there, request_mirror_policies: [{cluster: there}]}"},
		"by discovery, said so": {discovered, "validate_clusters: false", "route: {cluster: missing}"},
		"said to come":          {"", "validate_clusters: false", "route: {cluster: missing}"},
		"said not to come":      {"", "validate_clusters: true", "route: {cluster: missing}"},
		"by discovery":          {discovered, "", "route: {cluster: missing}"},
		"a direct response":     {"", "", "direct_response: {status: 200}"},
	} {
		t.Run(name, func(t *testing.T) {
			text := tc.more + static(web{name: "web", address: "127.0.0.1:0", table: tc.table, routes: "\n- {name: first, match: {prefix: /}, " + tc.routes + "}"}.String(), upstream("there", "127.0.0.1:1"))
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			cmd := exec.Command(binary, "-c", file, "--mode", "validate", "-l", "error")
			cmd.Stderr = &said
			theirs := cmd.Run()
			b, err := bootstrap.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			_, ours := proxy.New(proxy.Config{Bootstrap: b})
			if (ours == nil) != (theirs == nil) {
				t.Errorf("got %v; Envoy says %v\n%s", ours, theirs, said.String())
			}
			if ours != nil && (!strings.Contains(ours.Error(), `route "first"`) || !strings.Contains(ours.Error(), `cluster "missing"`)) {
				t.Errorf("got %v, want the route and the cluster named", ours)
			}
		})
	}
}

const discovered = `
node: {id: node, cluster: test}
dynamic_resources: {cds_config: {resource_api_version: V3, path_config_source: {path: testdata/clusters.yaml}}}
`
