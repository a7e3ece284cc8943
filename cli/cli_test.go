package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, cfg Config, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	cfg.Out, cfg.Err = &out, &out
	c := New(cfg)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelpListsBothGroups(t *testing.T) {
	out, err := run(t, Config{}, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"up ", "down ", "apply ", "rollout ", "kubectl "} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q:\n%s", want, out)
		}
	}
}

func TestASecondMeshInOneFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	release, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "lateen down") {
		t.Errorf("got %v; want a refusal that says what to do", err)
	}
	release()
	release, err = lock(dir)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	release()
}

func TestDownWithoutAMesh(t *testing.T) {
	out, err := run(t, Config{StateDir: t.TempDir()}, "down")
	if err != nil || !strings.Contains(out, "no mesh is running") {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestManifestsOfAFolderComeByName(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
		"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n",
		"c.txt":  "not a manifest",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := readManifests([]string{dir}, false)
	if err != nil || len(objects) != 2 || objects[0].GetName() != "a" || objects[1].GetName() != "b" {
		t.Errorf("got %v, %v; want a and b", objects, err)
	}
	if _, err := readManifests([]string{t.TempDir()}, false); err == nil {
		t.Error("an empty folder was accepted")
	}
}
