// Package inject puts a proxy into pods: it decides which, and writes the pod
// that Istio would have written.
//
// It stands beside the journey of a config change: Kubernetes' API server (or
// ours) asks it about every pod that is created. [Inject] is a pure function;
// [Webhook] answers the API server with it.
package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
)

// Settings are the mesh's, the same for every pod. The zero value is a good
// default.
type Settings struct {
	// Image of the proxy; empty is docker.io/lateenmesh/proxy:dev.
	Image string
	// PullPolicy of that image; empty is Kubernetes' default.
	PullPolicy corev1.PullPolicy
	// Revision of this control plane; empty is "default".
	Revision string
	// TrustDomain, MeshID and ClusterDomain; each empty is cluster.local.
	TrustDomain, MeshID, ClusterDomain string
	// KubeCluster is the cluster's name; empty is Kubernetes.
	KubeCluster string
	// Network of the cluster; empty is none.
	Network string
	// Discovery is the control plane's address; empty is
	// istiod.istio-system.svc:15012.
	Discovery string
	// EnableByDefault injects namespaces that say nothing.
	EnableByDefault bool
	// NoPrometheusMerge leaves prometheus.io annotations as they are
	// (enablePrometheusMerge: false).
	NoPrometheusMerge bool
	// Proxy is the mesh's defaultConfig; nil is Istio's default.
	Proxy *meshconfig.ProxyConfig
	// LogLevel of the proxy; empty is warning.
	LogLevel string
}

func (s Settings) withDefaults() Settings {
	for field, value := range map[*string]string{
		&s.Image: "docker.io/lateenmesh/proxy:dev", &s.Revision: "default", &s.TrustDomain: "cluster.local",
		&s.ClusterDomain: "cluster.local", &s.KubeCluster: "Kubernetes", &s.Discovery: "istiod.istio-system.svc:15012",
		&s.LogLevel: "warning",
	} {
		if *field == "" {
			*field = value
		}
	}
	if s.MeshID == "" {
		s.MeshID = s.TrustDomain
	}
	return s
}

// Result is what became of a pod.
type Result struct {
	// Pod is the injected pod, or the pod itself when Decision says no.
	Pod      *corev1.Pod
	Decision Decision
	// Warnings name annotations that have no effect.
	Warnings []string
}

// Inject decides about pod, which is (to be) in namespace, and writes the
// injected one. The pod is not changed. Injecting an injected pod changes
// nothing. The error names an annotation that asks for something that is not
// supported or cannot be read.
func Inject(pod *corev1.Pod, namespace string, namespaceLabels map[string]string, s Settings) (Result, error) {
	s = s.withDefaults()
	r := Result{Pod: pod, Decision: Decide(pod, namespace, namespaceLabels, s)}
	if !r.Decision.Inject {
		return r, nil
	}
	w, err := wishes(pod, s)
	if err != nil {
		return r, fmt.Errorf("inject pod %s/%s: %w", namespace, podName(pod), err)
	}
	r.Warnings = w.warnings
	i := &injection{pod: pod.DeepCopy(), namespace: namespace, settings: s, wishes: w}
	if err := i.run(); err != nil {
		return r, fmt.Errorf("inject pod %s/%s: %w", namespace, podName(pod), err)
	}
	r.Pod = i.pod
	return r, nil
}

// injection is one pod on its way. Each step changes pod.
type injection struct {
	pod       *corev1.Pod // ours to change
	namespace string
	settings  Settings
	wishes    wish

	probers map[string]prober // what probes asked for before they were rewritten
	scrape  string            // what Prometheus was told to scrape before, JSON
	added   status
}

// status is the value of annotation sidecar.istio.io/status.
type status struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

func (i *injection) run() error {
	own, err := i.takeOwnContainer()
	if err != nil {
		return err
	}
	i.rewriteProbes()
	i.label()
	i.announceMetrics()
	if i.wishes.redirects() {
		i.pod.Spec.InitContainers = append(i.pod.Spec.InitContainers, i.initContainer())
		i.added.InitContainers = append(i.added.InitContainers, initName)
	}
	proxy, err := overlaid(i.proxyContainer(), own)
	if err != nil {
		return err
	}
	i.place(proxy)
	i.addVolumes()
	i.added.Revision = i.settings.Revision
	text, err := json.Marshal(i.added)
	if err != nil {
		return fmt.Errorf("write the status annotation: %w", err)
	}
	i.annotate(statusKey, string(text))
	return nil
}

// place puts the proxy behind the app's containers, or before them as a native
// sidecar: an init container that never ends.
func (i *injection) place(proxy corev1.Container) {
	if i.wishes.native {
		always := corev1.ContainerRestartPolicyAlways
		proxy.RestartPolicy = &always
		i.pod.Spec.InitContainers = append(i.pod.Spec.InitContainers, proxy)
		i.added.InitContainers = append(i.added.InitContainers, proxyName)
		return
	}
	i.pod.Spec.Containers = append(i.pod.Spec.Containers, proxy)
	i.added.Containers = append(i.added.Containers, proxyName)
}

// label says what telemetry calls the workload, and that it speaks mutual TLS.
func (i *injection) label() {
	p := i.pod
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	set := func(key string, values ...string) {
		if p.Labels[key] == "" {
			p.Labels[key] = firstOf(values...)
		}
	}
	set("service.istio.io/canonical-name", p.Labels["app.kubernetes.io/name"], p.Labels["app"], i.owner().name)
	set("service.istio.io/canonical-revision", p.Labels["app.kubernetes.io/version"], p.Labels["version"], "latest")
	if !i.wishes.gateway {
		set("security.istio.io/tlsMode", "istio")
		i.defaultContainer()
	}
	p.Labels[revisionLabel] = i.settings.Revision
	i.annotate(revisionLabel, i.settings.Revision)
}

// defaultContainer keeps kubectl's logs and exec on the app rather than on the
// proxy.
func (i *injection) defaultContainer() {
	if len(i.pod.Spec.Containers) == 0 {
		return
	}
	app := i.pod.Spec.Containers[0].Name
	for _, key := range []string{"kubectl.kubernetes.io/default-logs-container", "kubectl.kubernetes.io/default-container"} {
		if i.pod.Annotations[key] == "" {
			i.annotate(key, app)
		}
	}
}

// announceMetrics has Prometheus scrape the agent, which merges the app's
// metrics in; what the app asked for is handed to the agent.
func (i *injection) announceMetrics() {
	a := i.pod.Annotations
	if i.settings.NoPrometheusMerge || a["prometheus.istio.io/merge-metrics"] == "false" || a["prometheus.io/scrape"] == "false" {
		return
	}
	asked := map[string]string{}
	for _, key := range []string{"scrape", "path", "port"} {
		if v := a["prometheus.io/"+key]; v != "" {
			asked[key] = v
		}
	}
	if len(asked) > 0 {
		text, _ := json.Marshal(asked) // strings always marshal
		i.scrape = string(text)
	}
	i.annotate("prometheus.io/scrape", "true")
	i.annotate("prometheus.io/port", "15020")
	i.annotate("prometheus.io/path", "/stats/prometheus")
}

func (i *injection) annotate(key, value string) {
	if i.pod.Annotations == nil {
		i.pod.Annotations = map[string]string{}
	}
	i.pod.Annotations[key] = value
}

// apps are the pod's own containers.
func (i *injection) apps() []corev1.Container {
	return slices.DeleteFunc(slices.Clone(i.pod.Spec.Containers), func(c corev1.Container) bool { return c.Name == proxyName })
}

// owner is the controller behind the pod, as the user knows it: a ReplicaSet
// of a Deployment counts as the Deployment.
type owner struct{ name, path string }

func (i *injection) owner() owner {
	p := i.pod
	at := func(apiVersion, kind, name string) owner {
		plural := strings.ToLower(kind) + "s"
		return owner{name, "kubernetes://apis/" + apiVersion + "/namespaces/" + i.namespace + "/" + plural + "/" + name}
	}
	for _, ref := range p.OwnerReferences {
		if ref.Controller == nil || !*ref.Controller {
			continue
		}
		hash := p.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" && ref.Kind == "ReplicaSet" {
			return at(ref.APIVersion, "Deployment", name)
		}
		return at(ref.APIVersion, ref.Kind, ref.Name)
	}
	return at("v1", "Pod", podName(p))
}

func podName(p *corev1.Pod) string { return firstOf(p.Name, strings.TrimSuffix(p.GenerateName, "-")) }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
