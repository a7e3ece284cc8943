//go:build e2e

// Package e2e tells the stories of users against a mesh that the test starts
// with the built programs and drives with the real kubectl.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The mesh that all stories share; each story works in a namespace of its own
// or puts back what it changed.
var shared struct {
	dir     string // state of "lateen up"
	bin     string // folder of the built programs
	kubectl string
	gateway string // URL of the ingress gateway
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := filepath.Abs("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.bin = filepath.Join(root, "bin")
	if shared.dir, err = os.MkdirTemp("", "lateen-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(shared.dir)
	shared.kubectl = filepath.Join(shared.bin, "kubectl")
	if _, err := os.Stat(shared.kubectl); err != nil {
		if shared.kubectl, err = exec.LookPath("kubectl"); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: no kubectl: make bin/kubectl builds one")
			return 1
		}
	}
	start := time.Now()
	defer lateen("down", "--dir", shared.dir)
	if out, err := lateen("up", "--detach", "--dir", shared.dir, filepath.Join(root, "samples/bookinfo")); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: lateen up: %v\n%s", err, out)
		return 1
	}
	fmt.Printf("lateen up took %v\n", time.Since(start).Round(time.Millisecond))
	port, err := kubectl("", "-n", "istio-system", "get", "service", "istio-ingressgateway", "-o", `jsonpath={.spec.ports[?(@.name=="http2")].nodePort}`)
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n%s", err, port)
		return 1
	}
	shared.gateway = "http://127.0.0.1:" + port
	code := m.Run()
	if code != 0 {
		for _, args := range [][]string{{"get", "pods", "-A", "-o", "wide"}, {"get", "events", "-A"}, {"logs", "-n", "istio-system", "deploy/istiod", "--tail=40"}} {
			out, _ := kubectl("", args...)
			fmt.Println(out)
		}
	}
	return code
}

func lateen(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(shared.bin, "lateen"), args...).CombinedOutput()
	return string(out), err
}

// kubectl runs the real kubectl with stdin and returns what it printed, errors
// and warnings included.
func kubectl(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(shared.dir, "kubeconfig"))
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// must runs kubectl and fails the test when it fails.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl("", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply applies manifests and fails the test when that fails.
func apply(t *testing.T, namespace, manifest string) string {
	t.Helper()
	out, err := kubectl(manifest, "apply", "-n", namespace, "-f", "-")
	if err != nil {
		t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, manifest)
	}
	return out
}

// namespace makes a namespace with injection on, deleted when the test ends.
func namespace(t *testing.T, name string) string {
	t.Helper()
	must(t, "create", "namespace", name)
	t.Cleanup(func() { must(t, "delete", "namespace", name, "--wait=false") })
	must(t, "label", "namespace", name, "istio-injection=enabled")
	return name
}

// samplesOf is a folder of Istio's own manifests, where they are at hand.
func samplesOf(t *testing.T, path string) string {
	t.Helper()
	for _, base := range []string{os.Getenv("LATEEN_ISTIO_SAMPLES"), "../../../shared/istio-samples"} {
		if full := filepath.Join(base, path); base != "" {
			if _, err := os.Stat(full); err == nil {
				return full
			}
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("Istio's samples are required in CI: set LATEEN_ISTIO_SAMPLES")
	}
	t.Skip("SKIPPED: Istio's own samples are not here; set LATEEN_ISTIO_SAMPLES to a copy of Istio's samples folder")
	return ""
}

var client = &http.Client{
	Timeout:       20 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// fetch gets a path from the ingress gateway.
func fetch(path string, header ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, shared.gateway+path, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = io.Copy(&body, resp.Body)
	return resp.StatusCode, body.String(), err
}

// eventually waits until check holds; the error says what was last seen.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	start := time.Now()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		err := check()
		if err == nil {
			t.Logf("%s after %v", what, time.Since(start).Round(time.Millisecond))
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not so after 30s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var errNot = errors.New("not yet")

// wants fails unless each of the wanted texts is in got.
func wants(t *testing.T, what, got string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, got)
		}
	}
}
