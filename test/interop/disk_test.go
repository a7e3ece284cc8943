package interop

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Settings in files are in force as Envoy reads them, and those behind a link that is
// replaced at once are the next ones.
func TestRuntimeOnDiskAsEnvoy(t *testing.T) {
	agree(t, func(name string, run runner) []string {
		dir := t.TempDir()
		write := func(name, text string) {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("old/envoy/part/one", "100\n")
		write("old/envoy/part/two", "# nothing\n0\n")
		write("old/envoy/part/three", "numerator: 100\ndenominator: HUNDRED")
		write("old/mine/service/part.four", " 100 ")
		write("new/envoy/part/one", "0")
		write("new/envoy/part/two", "100")
		link := func(to string) {
			if err := os.Symlink(filepath.Join(dir, to), filepath.Join(dir, "next")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "current")); err != nil {
				t.Fatal(err)
			}
		}
		link("old")
		routes := ""
		for _, key := range []string{"one", "two", "three", "four", "five"} {
			routes += fmt.Sprintf("- {match: {path: /%[1]s, runtime_fraction: {runtime_key: part.%[1]s, default_value: {numerator: 0}}}, direct_response: {status: 200}}\n", key)
		}
		p := start(t, name, run, func(p *peer) string {
			return fmt.Sprintf("node: {id: me, cluster: service}\nlayered_runtime: {layers: [{name: shared, disk_layer: {symlink_root: %[1]s, subdirectory: envoy}}, {name: own, disk_layer: {symlink_root: %[1]s, subdirectory: mine, append_service_cluster: true}}, {name: none, disk_layer: {symlink_root: %[1]s, subdirectory: none}}]}",
				filepath.Join(dir, "current")) + static(web{name: "web", address: p.address, routes: routes}.String(), "")
		})
		ask := func(key string) string {
			resp, err := http.Get("http://" + p.address + "/" + key)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return key + " " + resp.Status
		}
		var out []string
		all := func() {
			for _, key := range []string{"one", "two", "three", "four", "five"} {
				out = append(out, ask(key))
			}
		}
		all()
		link("new")
		eventually(t, func() error {
			if got := ask("two"); got != "two 200 OK" {
				return fmt.Errorf("after the link was replaced: %s", got)
			}
			return nil
		})
		all()
		return out
	})
}
