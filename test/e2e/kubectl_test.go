//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What users do with kubectl on a cluster, they do here.
func TestKubectlDrivesTheMesh(t *testing.T) {
	ns := "verbs"
	wants(t, "create", must(t, "create", "namespace", ns), "namespace/verbs created")
	t.Cleanup(func() { must(t, "delete", "namespace", ns, "--wait=false") })

	apply(t, ns, manifest(t, "helloworld/helloworld.yaml"))
	must(t, "rollout", "status", "-n", ns, "deployment/helloworld-v1", "--timeout=60s")
	if pods := must(t, "get", "pods", "-n", ns); strings.Count(pods, "1/1") != 2 {
		t.Errorf("pods of a namespace without injection are not 1/1:\n%s", pods)
	}

	wants(t, "label", must(t, "label", "namespace", ns, "istio-injection=enabled"), "namespace/verbs labeled")
	wants(t, "the label's column", must(t, "get", "namespace", ns, "-L", "istio-injection"), "enabled")
	must(t, "delete", "pod", "-n", ns, "-l", "app=helloworld,version=v1")
	eventually(t, "the new pod is 2/2, the old one stays 1/1", func() error {
		pods := must(t, "get", "pods", "-n", ns)
		if strings.Count(pods, "2/2") != 1 || strings.Count(pods, "1/1") != 1 {
			return fmt.Errorf("%s", pods)
		}
		return nil
	})

	wants(t, "scale", must(t, "scale", "-n", ns, "deployment/helloworld-v1", "--replicas=3"), "deployment.apps/helloworld-v1 scaled")
	must(t, "rollout", "status", "-n", ns, "deployment/helloworld-v1", "--timeout=60s")
	wants(t, "get deployments", must(t, "get", "deployments", "-n", ns, "helloworld-v1"), "3/3")

	wants(t, "set image", must(t, "set", "image", "-n", ns, "deployment/helloworld-v1", "helloworld=registry.istio.io/release/examples-helloworld-v2:1.0"), "image updated")
	wants(t, "rollout status", must(t, "rollout", "status", "-n", ns, "deployment/helloworld-v1", "--timeout=60s"), "successfully rolled out")
	eventually(t, "the old pods are gone", func() error {
		if n := strings.Count(must(t, "get", "pods", "-n", ns, "-l", "app=helloworld,version=v1"), "2/2"); n != 3 {
			return fmt.Errorf("%d pods", n)
		}
		if out := must(t, "get", "pods", "-n", ns); strings.Contains(out, "Terminating") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	pod := podOf(t, ns, "app=helloworld,version=v1")
	wants(t, "describe", must(t, "describe", "pod", "-n", ns, pod), "istio-init", "istio-proxy", "Controlled By:", "ReplicaSet/helloworld-v1",
		"service.istio.io/canonical-name=helloworld", "security.istio.io/tlsMode=istio", "sidecar.istio.io/status", "Scheduled", "Started")
	wants(t, "logs", must(t, "logs", "-n", ns, pod, "-c", "helloworld"), "listening")
	wants(t, "exec", must(t, "exec", "-n", ns, pod, "-c", "helloworld", "--", "sh", "-c", "echo from $HOSTNAME"), "from "+pod)
	wants(t, "get svc", must(t, "get", "svc", "-n", ns), "ClusterIP", "5000/TCP")
	wants(t, "get svc of the gateway", must(t, "get", "svc", "-n", "istio-system", "istio-ingressgateway"), "LoadBalancer", "15021:", "80:", "443:", "31400:", "15443:")

	portForward(t, ns, pod)

	must(t, "delete", "deployment", "-n", ns, "--all")
	eventually(t, "the pods are gone", func() error {
		if out := must(t, "get", "pods", "-n", ns); !strings.Contains(out, "No resources found") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	wants(t, "get vs", must(t, "get", "vs"), "NAME", "GATEWAYS", "HOSTS", "bookinfo")
	wants(t, "get gateway -o yaml", must(t, "get", "gateway", "bookinfo-gateway", "-o", "yaml"), "apiVersion: networking.istio.io/v1", "number: 80")
}

func portForward(t *testing.T, ns, pod string) {
	t.Helper()
	cmd := exec.Command(shared.kubectl, "port-forward", "-n", ns, "pod/"+pod, ":5000")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(shared.dir, "kubeconfig"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	var port int
	if _, scanErr := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); err != nil || scanErr != nil {
		t.Fatalf("port-forward said %q: %v", line, err)
	}
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/hello", port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	wants(t, "the forwarded port", string(body), "Hello version: v2")
}

// A mistake is answered with a message that names the object and the field, and
// traffic goes on as before.
func TestMistakesAreNamed(t *testing.T) {
	vs := func(http string) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  hosts: [reviews]\n  http:\n" + http
	}
	for _, bad := range []struct {
		name, text string
		want       []string
	}{
		{"unknown field", vs("  - retry: {attempts: 3}\n    route: [{destination: {host: reviews}}]\n"), []string{`"spec.http[0].retry"`, `"retries"`}},
		{"negative weight", vs("  - route: [{destination: {host: reviews}, weight: -1}, {destination: {host: ratings}, weight: 50}]\n"), []string{"reviews", "weight"}},
		{"weights of zero", vs("  - route: [{destination: {host: reviews}, weight: 0}, {destination: {host: ratings}, weight: 0}]\n"), []string{"reviews", "weight"}},
		{"no destination", vs("  - match: [{uri: {prefix: /}}]\n"), []string{"reviews", "spec.http[0]"}},
		{"nested outlierDetection", "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\nspec:\n  host: reviews\n  trafficPolicy:\n    connectionPool:\n      tcp: {maxConnections: 1}\n      outlierDetection: {consecutive5xxErrors: 1}\n",
			[]string{`"spec.trafficPolicy.connectionPool.outlierDetection"`, `"spec.trafficPolicy.outlierDetection"`}},
	} {
		out, err := kubectl(bad.text, "apply", "-f", "-")
		if err == nil {
			t.Errorf("%s: accepted: %s", bad.name, out)
			continue
		}
		wants(t, bad.name, out, bad.want...)
	}

	out := apply(t, "default", vs("  - route: [{destination: {host: nowhere}, weight: 30}, {destination: {host: reviews}, weight: 30}]\n"))
	t.Cleanup(func() { must(t, "delete", "virtualservice", "reviews") })
	wants(t, "weights of 60", out, "Warning", "weight")
	eventually(t, "the unknown host is on the status", func() error {
		status := must(t, "get", "virtualservice", "reviews", "-o", "jsonpath={.status}")
		if !strings.Contains(status, "nowhere") || !strings.Contains(status, "spec.http[0].route[0].destination.host") {
			return fmt.Errorf("status %q", status)
		}
		return nil
	})

	gateway := "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: secure}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n  - port: {number: 443, name: https, protocol: HTTPS}\n    tls: {mode: SIMPLE, credentialName: no-such-secret}\n    hosts: [shop.example.com]\n"
	apply(t, "default", gateway)
	t.Cleanup(func() { must(t, "delete", "gateway", "secure") })
	eventually(t, "the missing secret is on the status", func() error {
		status := must(t, "get", "gateway", "secure", "-o", "jsonpath={.status}")
		if !strings.Contains(status, "no-such-secret") {
			return fmt.Errorf("status %q", status)
		}
		return nil
	})
	if status, _, err := fetch("/productpage"); err != nil || status != 200 {
		t.Errorf("after the mistakes: %d %v; want the page as before", status, err)
	}
}
