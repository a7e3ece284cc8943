package inject

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected pods in testdata")

// asking is a namespace that wants injection.
var asking = map[string]string{"istio-injection": "enabled"}

func TestDecide(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		name                       string
		namespace                  string
		nsLabels, labels, annotate m
		host                       bool
		byDefault                  bool
		want                       bool
	}{
		{name: "nobody asks"},
		{name: "the namespace asks", nsLabels: m{"istio-injection": "enabled"}, want: true},
		{name: "the namespace declines", nsLabels: m{"istio-injection": "disabled"}},
		{name: "the namespace declines, the pod asks", nsLabels: m{"istio-injection": "disabled"}, labels: m{"sidecar.istio.io/inject": "true"}},
		{name: "the namespace asks for our revision", nsLabels: m{"istio.io/rev": "default"}, want: true},
		{name: "the namespace asks for another revision", nsLabels: m{"istio.io/rev": "canary"}},
		{name: "istio-injection beats the revision", nsLabels: m{"istio-injection": "enabled", "istio.io/rev": "canary"}, want: true},
		{name: "istio-injection=disabled beats the revision", nsLabels: m{"istio-injection": "disabled", "istio.io/rev": "default"}},
		{name: "the pod asks by label", labels: m{"sidecar.istio.io/inject": "true"}, want: true},
		{name: "the pod asks by annotation", annotate: m{"sidecar.istio.io/inject": "true"}},
		{name: "the pod asks for our revision", labels: m{"istio.io/rev": "default"}, want: true},
		{name: "the pod asks for another revision", labels: m{"istio.io/rev": "canary", "sidecar.istio.io/inject": "true"}},
		{name: "the pod declines by label", nsLabels: asking, labels: m{"sidecar.istio.io/inject": "false"}},
		{name: "the pod declines by annotation", nsLabels: asking, annotate: m{"sidecar.istio.io/inject": "false"}},
		{name: "the label beats the annotation", nsLabels: asking, labels: m{"sidecar.istio.io/inject": "true"}, annotate: m{"sidecar.istio.io/inject": "false"}, want: true},
		{name: "another word says nothing", nsLabels: asking, labels: m{"sidecar.istio.io/inject": "yes"}, want: true},
		{name: "the host's network", nsLabels: asking, host: true},
		{name: "a namespace of Kubernetes", namespace: "kube-system", nsLabels: asking, labels: m{"sidecar.istio.io/inject": "true"}},
		{name: "injected by default", byDefault: true, want: true},
		{name: "injected by default, the pod declines", byDefault: true, labels: m{"sidecar.istio.io/inject": "false"}},
		{name: "injected by default, the namespace declines", byDefault: true, nsLabels: m{"istio-injection": "disabled"}},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: c.labels, Annotations: c.annotate}, Spec: corev1.PodSpec{HostNetwork: c.host}}
		got := Decide(pod, firstOf(c.namespace, "shop"), c.nsLabels, Settings{Revision: "default", EnableByDefault: c.byDefault})
		if got.Inject != c.want || got.Reason == "" {
			t.Errorf("%s: got %v because %q, want %v", c.name, got.Inject, got.Reason, c.want)
		}
	}
}

func readPod(t *testing.T, text []byte) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(text, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// The stories in testdata: a pod, and what it becomes.
func TestShape(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pod := readPod(t, archive.Files[0].Data)
			r, err := Inject(pod, "default", asking, Settings{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(r.Pod)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "injected.yaml", Data: got})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(got), string(archive.Files[1].Data)); diff != "" {
				t.Errorf("injected pod (-got +want), -update accepts it:\n%s", diff)
			}
			again, err := Inject(r.Pod, "default", asking, Settings{})
			if err != nil || again.Decision.Inject || again.Pod != r.Pod {
				t.Errorf("injecting again: %v, %v; want a no-op", again.Decision, err)
			}
		})
	}
}

func annotated(key, value string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{key: value}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

// Annotations are honoured, refused, or said to have no effect: none is
// silently dropped.
func TestAnnotations(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"sidecar.istio.io/proxyImage", "mine:1", `"image":"mine:1"`},
		{"sidecar.istio.io/proxyCPU", "150m", `"resources":{"requests":{"cpu":"150m"}}`},
		{"sidecar.istio.io/proxyMemoryLimit", "64Mi", `"resources":{"limits":{"memory":"64Mi"}}`},
		{"sidecar.istio.io/logLevel", "debug", `"--proxyLogLevel=debug"`},
		{"sidecar.istio.io/componentLogLevel", "http:debug", `"--proxyComponentLogLevel=http:debug"`},
		{"sidecar.istio.io/capNetBindService", "true", `"add":["NET_BIND_SERVICE"]`},
		{"sidecar.istio.io/interceptionMode", "NONE", `no "istio-iptables"`},
		{"sidecar.istio.io/nativeSidecar", "true", `"restartPolicy":"Always"`},
		{"sidecar.istio.io/userVolume", `{"mine":{"emptyDir":{}}}`, `{"name":"mine","emptyDir":{}}`},
		{"sidecar.istio.io/userVolumeMount", `{"mine":{"mountPath":"/mine"}}`, `{"name":"mine","mountPath":"/mine"}`},
		{"traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8", `"-i","10.0.0.0/8"`},
		{"traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.1.0.0/16", `"-x","10.1.0.0/16"`},
		{"traffic.sidecar.istio.io/includeInboundPorts", "", `"-b",""`},
		{"traffic.sidecar.istio.io/excludeInboundPorts", "22,23", `"-d","22,23,15090,15021,15020"`},
		{"traffic.sidecar.istio.io/includeOutboundPorts", "80", `"-q","80"`},
		{"traffic.sidecar.istio.io/excludeOutboundPorts", "6379", `"-o","6379"`},
		{"traffic.sidecar.istio.io/excludeInterfaces", "eth1", `"-c","eth1"`},
		{"readiness.status.sidecar.istio.io/periodSeconds", "2", `"periodSeconds":2`},
		{"status.sidecar.istio.io/port", "0", `no "readinessProbe"`},
		{"proxy.istio.io/config", "concurrency: 3\nproxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\"}", `{"name":"ISTIO_META_DNS_CAPTURE","value":"true"}`},
		{"sidecar.istio.io/discoveryAddress", "other:15012", `\"discoveryAddress\":\"other:15012\"`},
		{"prometheus.istio.io/merge-metrics", "false", `no "/stats/prometheus"`},
		{"prometheus.io/scrape", "false", `no "/stats/prometheus"`},
		{"prometheus.io/path", "/m", `{"name":"ISTIO_PROMETHEUS_ANNOTATIONS","value":"{\"path\":\"/m\"}"}`},

		{"sidecar.istio.io/statsInclusionPrefixes", "cluster.outbound", "no warning:"}, // the proxy reads it
		{"sidecar.istio.io/statsCompression", "true", "warning: annotation sidecar.istio.io/statsCompression has no effect"},
		{"proxy.istio.io/config", "holdApplicationUntilProxyStarts: true", "warning: holdApplicationUntilProxyStarts has no effect"},

		{"sidecar.istio.io/interceptionMode", "TPROXY", "error: annotation sidecar.istio.io/interceptionMode: mode TPROXY is not supported"},
		{"sidecar.istio.io/bootstrapOverride", "x", "error: annotation sidecar.istio.io/bootstrapOverride: a custom bootstrap is not supported"},
		{"sidecar.istio.io/proxyCPU", "many", `error: annotation sidecar.istio.io/proxyCPU: "many"`},
		{"inject.istio.io/templates", "grpc-agent", `error: annotation inject.istio.io/templates: template "grpc-agent" is not there`},
		{"proxy.istio.io/config", "concurency: 3", `unknown field "concurency"`},
		{"status.sidecar.istio.io/port", "1234", "error: annotation status.sidecar.istio.io/port"},
		{"sidecar.istio.io/userVolume", "[", "error: annotation sidecar.istio.io/userVolume"},
	} {
		r, err := Inject(annotated(c.key, c.value), "default", asking, Settings{})
		text, _ := json.Marshal(r.Pod)
		for _, w := range r.Warnings {
			text = append(text, "warning: "+w...)
		}
		if err != nil {
			text = []byte("error: " + strings.TrimPrefix(err.Error(), "inject pod default/p: "))
		}
		unwanted, negative := strings.CutPrefix(c.want, "no ")
		if found := bytes.Contains(text, []byte(unwanted)); found == negative {
			t.Errorf("%s=%q: want %s in %s", c.key, c.value, c.want, text)
		}
	}
}

// A pod that declares the container istio-proxy changes single fields of it.
func TestOwnContainer(t *testing.T) {
	pod := annotated("x", "y")
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "auto", Env: []corev1.EnvVar{{Name: "MINE", Value: "1"}}})
	r, err := Inject(pod, "default", asking, Settings{Image: "proxy:1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(r.Pod.Spec.Containers); !slices.Equal(got, []string{"app", "istio-proxy"}) {
		t.Fatalf("containers %v, want the app's and one proxy", got)
	}
	c := r.Pod.Spec.Containers[1]
	has := func(name string) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	}
	if c.Image != "proxy:1" || !has("MINE") || !has("POD_NAME") || len(c.Args) == 0 {
		t.Errorf("container %+v is not the template with the pod's own environment", c)
	}
}

// A workload is called after what the user made.
func TestOwner(t *testing.T) {
	for _, c := range []struct{ kind, name, want string }{
		{"ReplicaSet", "cart-5b7d", "kubernetes://apis/apps/v1/namespaces/shop/deployments/cart"},
		{"ReplicaSet", "bare", "kubernetes://apis/apps/v1/namespaces/shop/replicasets/bare"},
		{"StatefulSet", "db", "kubernetes://apis/apps/v1/namespaces/shop/statefulsets/db"},
		{"", "", "kubernetes://apis/v1/namespaces/shop/pods/p"},
	} {
		pod := annotated("x", "y")
		pod.Labels = map[string]string{"pod-template-hash": "5b7d"}
		if c.kind != "" {
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: c.kind, Name: c.name, Controller: ptr(true)}}
		}
		i := injection{pod: pod, namespace: "shop"}
		if got := i.owner().path; got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.kind, c.name, got, c.want)
		}
	}
}
