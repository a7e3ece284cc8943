//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func rule(name string) string {
	text, err := os.ReadFile("../../samples/bookinfo/rules/" + name + ".yaml")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// killContainer ends a container's main process, as a crash would. On one
// machine a container's id is its process.
func killContainer(t *testing.T, namespace, pod, container string) {
	t.Helper()
	id := must(t, "get", "pod", "-n", namespace, pod, "-o", fmt.Sprintf(`jsonpath={.status.containerStatuses[?(@.name==%q)].containerID}`, container))
	pid, err := strconv.Atoi(strings.TrimPrefix(id, "process://"))
	if err != nil {
		t.Fatalf("container id %q: want process://PID", id)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %s/%s %s (%d): %v", namespace, pod, container, pid, err)
	}
}

func podOf(t *testing.T, namespace, label string) string {
	t.Helper()
	return must(t, "get", "pod", "-n", namespace, "-l", label, "-o", "jsonpath={.items[0].metadata.name}")
}

func restarts(t *testing.T, namespace, pod, container string) string {
	t.Helper()
	return must(t, "get", "pod", "-n", namespace, pod, "-o", fmt.Sprintf(`jsonpath={.status.containerStatuses[?(@.name==%q)].restartCount}`, container))
}

func TestKilledProcessesComeBack(t *testing.T) {
	for _, victim := range []struct{ namespace, label, container string }{
		{"default", "app=details", "istio-proxy"},
		{"default", "app=details", "details"},
		{"istio-system", "istio=ingressgateway", "istio-proxy"},
	} {
		t.Run(victim.label+"/"+victim.container, func(t *testing.T) {
			pod := podOf(t, victim.namespace, victim.label)
			before := restarts(t, victim.namespace, pod, victim.container)
			killContainer(t, victim.namespace, pod, victim.container)
			eventually(t, "the container is counted as restarted", func() error {
				if now := restarts(t, victim.namespace, pod, victim.container); now == before {
					return fmt.Errorf("restart count is still %s", now)
				}
				return nil
			})
			eventually(t, "traffic heals", func() error {
				status, page, err := fetch("/productpage")
				if err != nil || status != 200 || !strings.Contains(page, "paperback") {
					return fmt.Errorf("%d %v", status, err)
				}
				return nil
			})
		})
	}
}

func TestControlPlaneRestartsWithoutALostRequest(t *testing.T) {
	apply(t, "default", rule("destination-rule-reviews"))
	apply(t, "default", rule("reviews-v1"))
	t.Cleanup(func() {
		must(t, "delete", "virtualservice", "reviews", "--ignore-not-found")
		must(t, "delete", "destinationrule", "reviews")
	})
	eventually(t, "everything goes to v1", only("none", 10))
	stop := load(t, 100)
	defer stop()
	pod := podOf(t, "istio-system", "app=istiod")
	before := restarts(t, "istio-system", pod, "discovery")
	killContainer(t, "istio-system", pod, "discovery")
	eventually(t, "istiod is restarted", func() error {
		if restarts(t, "istio-system", pod, "discovery") == before {
			return errNot
		}
		return nil
	})
	must(t, "wait", "-n", "istio-system", "--for=condition=Ready", "pod/"+pod, "--timeout=60s")
	apply(t, "default", strings.ReplaceAll(rule("reviews-v1"), "subset: v1", "subset: v3"))
	eventually(t, "a rule made after the restart takes effect", only("red", 5))
	if sent, failures := stop(); len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %s", len(failures), sent, strings.Join(failures[:min(10, len(failures))], "\n"))
	}
}
