package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A sidecar's settings come from the environment that the injector writes, and
// from the pod's files below the root.
func TestSettings(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/istio/pod")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "labels"), []byte("app=\"cart\"\nversion=\"v\\\"1\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"LATEEN_ROOT": root, "POD_NAME": "cart-1", "POD_NAMESPACE": "shop", "INSTANCE_IP": "127.64.0.5", "LATEEN_EXPLICIT": "1",
		"LATEEN_APP_PORTS": "9080=20001", "LATEEN_NAMESERVER": "127.64.255.253:5353", "LATEEN_LOW_PORTS": "61000",
		"PROXY_CONFIG": `{"discoveryAddress":"here:15010","concurrency":2}`,
	}
	s, err := readSettings(false, []string{"--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"},
		func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		[]string{"ISTIO_META_POD_PORTS=[{\"containerPort\":9080}]", "ISTIO_META_MESH_ID=m", "OTHER=x"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Labels, map[string]string{"app": "cart", "version": `v"1`}); diff != "" {
		t.Errorf("labels (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(s.Metadata, map[string]any{"MESH_ID": "m", "POD_PORTS": []any{map[string]any{"containerPort": 9080.0}}}); diff != "" {
		t.Errorf("metadata (-got +want):\n%s", diff)
	}
	if s.Domain != "shop.svc.cluster.local" || s.Apps[9080] != 20001 || s.Discovery != "here:15010" || s.path("/x") != root+"/x" {
		t.Errorf("settings %+v", s)
	}
	delete(env, "POD_NAME")
	if _, err := readSettings(false, nil, func(k string) (string, bool) { v, ok := env[k]; return v, ok }, nil); err == nil || !strings.Contains(err.Error(), "static") {
		t.Errorf("outside a pod: got %v, want a hint", err)
	}
}

func TestCommand(t *testing.T) {
	explicit := func(k string) (string, bool) { return "1", k == "LATEEN_EXPLICIT" }
	none := func(string) (string, bool) { return "", false }
	for _, c := range []struct {
		args []string
		env  func(string) (string, bool)
		want string
	}{
		{[]string{"istio-iptables", "-p", "15001"}, explicit, ""},
		{[]string{"istio-iptables", "-p", "15001"}, none, "transparent redirect is not built yet"},
		{[]string{"proxy", "waypoint"}, none, `command "waypoint" is not known`},
		{nil, none, "usage"},
		{[]string{"static"}, none, "-c"},
	} {
		err := command(t.Context(), c.args, c.env, nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
	}
}
