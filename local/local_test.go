package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMeshKeepsItsNetwork(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	first, err := claimFor(one, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := claimFor(two, "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.release()
	if first.block == second.block {
		t.Fatalf("two meshes got %s", first.block)
	}
	if apart := second.nodePorts() - first.nodePorts(); -40 < apart && apart < 40 {
		t.Errorf("their node ports start at %d and %d", first.nodePorts(), second.nodePorts())
	}
	if _, err := claimFor(one, ""); err == nil {
		t.Error("a network was claimed twice")
	}
	first.release()
	again, err := claimFor(one, "")
	if err != nil {
		t.Fatal(err)
	}
	defer again.release()
	if again.block != first.block {
		t.Errorf("got %s after a restart, want %s", again.block, first.block)
	}
	if _, err := claimFor(one, second.block.String()); err == nil {
		t.Error("a mesh whose Services have addresses was given another network")
	}
}

func TestBadNetworksAreRefused(t *testing.T) {
	for _, bad := range []string{"10.0.0.0/16", "127.64.0.0/24", "127.64", "::1/16"} {
		if n, err := claim(bad); err == nil {
			n.release()
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestImagesStandForPrograms(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "lateen.yaml")
	text := `images:
  "shop/cart:*": {command: [./cart, --verbose], dir: cart, ports: [8080], env: {MODE: local}}
  shop/web: {command: [bin/web]}
  shop/tool: {command: [tool]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := readImages(file)
	if err != nil {
		t.Fatal(err)
	}
	i.besides = "/opt"
	for image, want := range map[string][]string{
		"shop/cart:v1":                  {filepath.Join(dir, "cart/cart"), "--verbose"},
		"shop/web":                      {filepath.Join(dir, "bin/web")},
		"shop/tool":                     {"tool"},
		"docker.io/lateenmesh/proxy:v1": {"/opt/lateen-proxy"},
		"docker.io/lateenmesh/pilot":    {"/opt/lateend"},
		"istio/proxyv2:1.31":            {"/opt/lateen-proxy"},
		"kennethreitz/httpbin":          {"/opt/lateen-samples", "run", "httpbin"},
	} {
		got, err := i.program(image)
		if err != nil {
			t.Errorf("%s: %v", image, err)
			continue
		}
		if diff := cmp.Diff(got.Command[:min(len(got.Command), len(want))], want); diff != "" {
			t.Errorf("%s: (-got +want)\n%s", image, diff)
		}
	}
	if _, err := i.program("nobody/knows:this"); err == nil {
		t.Error("an unknown image has a program")
	}
}

func TestMistakesInLateenYAMLAreNamed(t *testing.T) {
	for _, text := range []string{"images: {a: {}}", "images: {a: {command: [x], port: 1}}", `images: {"[": {command: [x]}}`} {
		file := filepath.Join(t.TempDir(), "lateen.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readImages(file); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
