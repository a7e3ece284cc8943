//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func manifest(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../samples/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withoutBookinfoGateway takes Bookinfo's gateway rules away for a story that
// needs the gateway's port 80 to itself.
func withoutBookinfoGateway(t *testing.T) {
	t.Helper()
	must(t, "delete", "gateway/bookinfo-gateway", "virtualservice/bookinfo")
	t.Cleanup(func() {
		apply(t, "default", manifest(t, "bookinfo/gateway.yaml"))
		eventually(t, "Bookinfo is back", func() error {
			if status, _, err := fetch("/productpage"); err != nil || status != 200 {
				return fmt.Errorf("%d %v", status, err)
			}
			return nil
		})
	})
}

var visit = regexp.MustCompile(`^Hello World by (127\.0\.0\.\d+) from ([0-9.]+) ! 该页面已被访问 (\d+) 次。`)

// Seed 000: a page behind Gateway and VirtualService that counts in Redis.
func TestCounterPage(t *testing.T) {
	withoutBookinfoGateway(t)
	ns := namespace(t, "counter")
	out := apply(t, ns, manifest(t, "counter/counter.yaml"))
	wants(t, "apply", out, "service/docker2istio-redis created", "deployment.apps/docker2istio-redis created",
		"service/docker2istio-app created", "deployment.apps/docker2istio-app created")
	must(t, "rollout", "status", "-n", ns, "deployment/docker2istio-app", "deployment/docker2istio-redis", "--timeout=60s")
	if pods := must(t, "get", "pods", "-n", ns); strings.Count(pods, "2/2") != 4 {
		t.Errorf("want four pods at 2/2:\n%s", pods)
	}
	apply(t, ns, manifest(t, "counter/gateway.yaml"))
	var count int
	eventually(t, "the page is served", func() error {
		status, body, err := fetch("/")
		m := visit.FindStringSubmatch(body)
		if err != nil || m == nil {
			return fmt.Errorf("%d %v %q", status, err, body)
		}
		count, err = strconv.Atoi(m[3])
		return err
	})
	replicas := map[string]bool{}
	for range 30 {
		_, body, err := fetch("/")
		m := visit.FindStringSubmatch(body)
		if err != nil || m == nil {
			t.Fatalf("visit: %v %q", err, body)
		}
		if m[3] != strconv.Itoa(count+1) {
			t.Fatalf("count went from %d to %s; want one more", count, m[3])
		}
		count++
		replicas[m[2]] = true
	}
	if len(replicas) != 3 {
		t.Errorf("30 visits saw the replicas %v; want all three", replicas)
	}
	if status, _, _ := fetch("/other"); status != 404 {
		t.Errorf(`"exact: /" let /other through: %d; want 404`, status)
	}
}

const httpbinRoute = `
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [httpbin-gateway]
  http:
  - route:
    - destination: {host: httpbin, port: {number: 8000}}
%s`

// Seed 003: httpbin and a client, timeouts and retries.
func TestHttpbinTimeoutsAndRetries(t *testing.T) {
	withoutBookinfoGateway(t)
	ns := namespace(t, "demo")
	apply(t, ns, manifest(t, "httpbin/httpbin.yaml"))
	apply(t, ns, manifest(t, "curl/curl.yaml"))
	must(t, "rollout", "status", "-n", ns, "deployment/httpbin", "--timeout=60s")
	must(t, "rollout", "status", "-n", ns, "deployment/curl", "--timeout=60s")

	origin := must(t, "exec", "-n", ns, "deploy/curl", "-c", "curl", "--", "curl", "-s", "http://httpbin."+ns+":8000/ip")
	if !regexp.MustCompile(`"origin":\s*"127\.0\.0\.\d+"`).MatchString(origin) {
		t.Errorf("origin: %s; want one loopback address", origin)
	}

	apply(t, ns, fmt.Sprintf(httpbinRoute, "    timeout: 1s\n"))
	eventually(t, "the route answers", func() error {
		if status, _, err := fetch("/get"); err != nil || status != 200 {
			return fmt.Errorf("%d %v", status, err)
		}
		return nil
	})
	start := time.Now()
	status, body, err := fetch("/delay/5")
	if status != 504 || body != "upstream request timeout" {
		t.Errorf("/delay/5 with a timeout of 1s: %d %q %v; want 504", status, body, err)
	}
	t.Logf("the timeout of 1s took %v", time.Since(start))

	out, err := kubectl(fmt.Sprintf(httpbinRoute, "    retry: {attempts: 3, perTryTimeout: 1s}\n"), "apply", "-n", ns, "-f", "-")
	if err == nil {
		t.Errorf("retry: was accepted:\n%s", out)
	}
	wants(t, "the refusal", out, `unknown field "spec.http[0].retry"`, `did you mean "retries"`)

	apply(t, ns, fmt.Sprintf(httpbinRoute, "    timeout: 8s\n    retries: {attempts: 3, perTryTimeout: 1s, retryOn: 5xx}\n"))
	eventually(t, "four tries are made", func() error {
		before := requests(t, ns)
		status, _, err := fetch("/status/503")
		if err != nil || status != 503 {
			return fmt.Errorf("%d %v", status, err)
		}
		if tries := requests(t, ns) - before; tries != 4 {
			return fmt.Errorf("httpbin saw %d tries; want 1 + 3", tries)
		}
		return nil
	})
}

// metrics reads the Prometheus metrics of a pod's sidecar.
func metrics(t *testing.T, ns, label string) string {
	t.Helper()
	ip := must(t, "get", "pod", "-n", ns, "-l", label, "-o", "jsonpath={.items[0].status.podIP}")
	resp, err := client.Get("http://" + ip + ":15090/stats/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// requests is how many requests httpbin's sidecar has counted.
func requests(t *testing.T, ns string) int {
	t.Helper()
	stats := metrics(t, ns, "app=httpbin")
	total := 0
	for line := range strings.Lines(stats) {
		if strings.HasPrefix(line, "istio_requests_total{") && strings.Contains(line, `reporter="destination"`) {
			n, err := strconv.Atoi(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]))
			if err != nil {
				t.Fatalf("read %q: %v", line, err)
			}
			total += n
		}
	}
	return total
}

func TestMetricsCarryIstiosLabels(t *testing.T) {
	for range 5 {
		if status, _, err := fetch("/productpage"); err != nil || status != 200 {
			t.Fatalf("product page: %d %v", status, err)
		}
	}
	stats := metrics(t, "default", "app=details")
	wants(t, "details' metrics", stats, `reporter="destination"`, `source_workload="productpage-v1"`, `destination_workload="details-v1"`,
		`destination_service="details.default.svc.cluster.local"`, `connection_security_policy="mutual_tls"`,
		`source_principal="spiffe://cluster.local/ns/default/sa/bookinfo-productpage"`, `request_protocol="http"`, `response_code="200"`,
		"istio_request_duration_milliseconds_bucket", "istio_request_bytes_sum", "istio_response_bytes_count")
}

// The two ends of a byte stream know each other, though nothing in it says who
// they are.
func TestByteStreamsKnowTheirPeers(t *testing.T) {
	ns := namespace(t, "streams")
	for _, sample := range []string{"tcpecho/tcp-echo.yaml", "curl/curl.yaml"} {
		manifest, err := os.ReadFile("../../samples/" + sample)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, ns, string(manifest))
	}
	must(t, "wait", "-n", ns, "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	eventually(t, "tcp-echo's sidecar knows curl", func() error {
		// curl ends with a timeout, because the server goes on waiting for lines.
		out, _ := kubectl("world\n", "exec", "-i", "-n", ns, "deploy/curl", "--", "curl", "-s", "--max-time", "1", "telnet://tcp-echo:9000")
		if !strings.Contains(out, "hello world") {
			return fmt.Errorf("got %q", out)
		}
		stats := metrics(t, ns, "app=tcp-echo")
		for line := range strings.Lines(stats) {
			if strings.HasPrefix(line, "istio_tcp_connections_closed_total{") && strings.Contains(line, `source_workload="curl"`) && strings.Contains(line, `connection_security_policy="mutual_tls"`) {
				return nil
			}
		}
		return fmt.Errorf("no connection from curl among\n%s", stats)
	})
}
