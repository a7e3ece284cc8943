package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// The labels and annotations by which users ask for injection.
const (
	namespaceLabel  = "istio-injection"
	revisionLabel   = "istio.io/rev"
	podLabel        = "sidecar.istio.io/inject"
	templatesKey    = "inject.istio.io/templates"
	statusKey       = "sidecar.istio.io/status"
	proxyName       = "istio-proxy"
	initName        = "istio-init"
	sidecarTemplate = "sidecar"
	gatewayTemplate = "gateway"
)

// systemNamespaces are never injected.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// Decision is whether a pod gets a proxy, and why.
type Decision struct {
	Inject bool
	// Reason is for people: "namespace shop has istio-injection=enabled".
	Reason string
}

func yes(reason string) Decision { return Decision{true, reason} }
func no(reason string) Decision  { return Decision{false, reason} }

// Decide applies Istio's rules: what cannot be injected never is, then the
// pod's own word counts, then its namespace's. The label istio-injection beats
// istio.io/rev. A pod in a namespace that says nothing is injected only if it
// asks by label; its annotation can only decline.
func Decide(pod *corev1.Pod, namespace string, namespaceLabels map[string]string, s Settings) Decision {
	switch {
	case pod.Spec.HostNetwork:
		return no("the pod uses the host's network")
	case slices.Contains(systemNamespaces, namespace):
		return no("namespace " + namespace + " is Kubernetes' own")
	case injected(pod):
		return no("the pod is injected already")
	}
	asked := asks(pod)
	if asked == "false" {
		return no("the pod has " + podLabel + "=false")
	}
	injection, labelled := namespaceLabels[namespaceLabel]
	revision, revisioned := namespaceLabels[revisionLabel]
	podRevision := pod.Labels[revisionLabel]
	switch {
	case labelled && injection == "enabled":
		return yes("namespace " + namespace + " has " + namespaceLabel + "=enabled")
	case labelled:
		return no("namespace " + namespace + " has " + namespaceLabel + "=" + injection)
	case revisioned && revision == s.Revision:
		return yes("namespace " + namespace + " has " + revisionLabel + "=" + revision)
	case revisioned:
		return no("namespace " + namespace + " belongs to revision " + revision)
	case podRevision != "" && podRevision != s.Revision:
		return no("the pod belongs to revision " + podRevision)
	case podRevision != "":
		return yes("the pod has " + revisionLabel + "=" + podRevision)
	case pod.Labels[podLabel] == "true":
		return yes("the pod has " + podLabel + "=true")
	case s.EnableByDefault:
		return yes("namespaces are injected by default")
	}
	return no("neither namespace " + namespace + " nor the pod asks for it")
}

// asks is the pod's own word, "true", "false" or "". The label wins over the
// annotation; other values say nothing.
func asks(pod *corev1.Pod) string {
	word, ok := pod.Labels[podLabel]
	if !ok {
		word = pod.Annotations[podLabel]
	}
	if word != "true" && word != "false" {
		return ""
	}
	return word
}

// injected reports whether the pod carries our proxy already.
func injected(pod *corev1.Pod) bool {
	if pod.Annotations[statusKey] == "" {
		return false
	}
	named := func(c corev1.Container) bool { return c.Name == proxyName }
	return slices.ContainsFunc(pod.Spec.Containers, named) || slices.ContainsFunc(pod.Spec.InitContainers, named)
}
