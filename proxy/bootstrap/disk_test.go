package bootstrap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The files of a layer on disk are its settings, by their way from where it begins.
func TestDisk(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"sub/web/a": "1\n", "sub/web/deep/er/b.c": "# why\n 2 \n# and\n", "sub/web/none": "# nothing", "sub/other": "3"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse([]byte(`
node: {id: a, cluster: web}
layered_runtime: {layers: [{name: own, disk_layer: {symlink_root: ` + root + `, subdirectory: sub, append_service_cluster: true}}, {name: gone, disk_layer: {symlink_root: ` + root + `, subdirectory: none}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]string{{"a": "1", "deep.er.b.c": "2", "none": ""}, {}} {
		got, err := c.Disks[i].Settings()
		if diff := cmp.Diff(got, want); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.Disks[i].Layer, err, diff)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sub/web"+strings.Repeat("/d", 16)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Disks[0].Settings(); err == nil || !strings.Contains(err.Error(), "more than 16 directories") {
		t.Errorf("got %v, want a refusal of directories without end", err)
	}
}
