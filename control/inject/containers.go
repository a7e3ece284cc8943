package inject

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// The proxy's user; its own traffic is not redirected.
const proxyUser = int64(1337)

// ownPorts are the proxy's, which are never redirected to it.
const ownPorts = "15090,15021,15020"

// initContainer sets up the redirect and ends.
func (i *injection) initContainer() corev1.Container {
	w := i.wishes
	args := []string{
		"istio-iptables", "-p", "15001", "-z", "15006", "-u", fmt.Sprint(proxyUser), "-m", w.mode,
		"-i", w.includeOutboundIPs, "-x", w.excludeOutboundIPs, "-b", w.includeInboundPorts,
		"-d", strings.TrimPrefix(w.excludeInboundPorts+","+ownPorts, ","),
	}
	for _, extra := range []struct{ flag, value string }{
		{"-q", w.includeOutboundPorts}, {"-o", w.excludeOutboundPorts}, {"-c", w.excludeInterfaces}, {"-k", w.virtualInterfaces},
	} {
		if extra.value != "" {
			args = append(args, extra.flag, extra.value)
		}
	}
	root := int64(0)
	return corev1.Container{
		Name: initName, Image: w.image, ImagePullPolicy: i.settings.PullPolicy, Args: args,
		Resources: corev1.ResourceRequirements{Requests: w.requests, Limits: w.limits},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), Privileged: ptr(false), ReadOnlyRootFilesystem: ptr(false),
			RunAsUser: &root, RunAsGroup: &root, RunAsNonRoot: ptr(false),
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}, Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// proxyContainer is the proxy, as a sidecar or as a gateway.
func (i *injection) proxyContainer() corev1.Container {
	w, user := i.wishes, proxyUser
	role := "sidecar"
	if w.gateway {
		role = "router"
	}
	args := []string{"proxy", role, "--domain", "$(POD_NAMESPACE).svc." + i.settings.ClusterDomain, "--proxyLogLevel=" + w.logLevel}
	if w.componentLogLevel != "" {
		args = append(args, "--proxyComponentLogLevel="+w.componentLogLevel)
	}
	if w.agentLogLevel != "" {
		args = append(args, "--log_output_level="+w.agentLogLevel)
	}
	c := corev1.Container{
		Name: proxyName, Image: w.image, ImagePullPolicy: i.settings.PullPolicy, Args: args,
		Ports:        []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: 15090, Protocol: corev1.ProtocolTCP}},
		Env:          i.environment(),
		Resources:    corev1.ResourceRequirements{Requests: w.requests, Limits: w.limits},
		VolumeMounts: i.mounts(),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), Privileged: ptr(false), ReadOnlyRootFilesystem: ptr(true),
			RunAsUser: &user, RunAsGroup: &user, RunAsNonRoot: ptr(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if w.bindLowPorts {
		c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
	}
	if w.statusPort != 0 {
		ready := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz/ready", Port: intstr.FromInt32(15021)}}
		c.StartupProbe = &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: 600}
		c.ReadinessProbe = &corev1.Probe{
			ProbeHandler: ready, InitialDelaySeconds: w.readiness.delay, PeriodSeconds: w.readiness.period,
			TimeoutSeconds: 3, FailureThreshold: w.readiness.failures,
		}
	}
	return c
}

// environment is what the proxy is told about itself.
func (i *injection) environment() []corev1.EnvVar {
	s, o := i.settings, i.owner()
	var env []corev1.EnvVar
	set := func(name, value string) { env = append(env, corev1.EnvVar{Name: name, Value: value}) }
	field := func(name, path string) {
		env = append(env, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
		}})
	}
	set("PILOT_CERT_PROVIDER", "istiod")
	set("CA_ADDR", s.Discovery)
	field("POD_NAME", "metadata.name")
	field("POD_NAMESPACE", "metadata.namespace")
	field("INSTANCE_IP", "status.podIP")
	field("SERVICE_ACCOUNT", "spec.serviceAccountName")
	field("HOST_IP", "status.hostIP")
	set("PROXY_CONFIG", i.proxyConfig())
	set("ISTIO_META_POD_PORTS", i.podPorts())
	set("ISTIO_META_APP_CONTAINERS", strings.Join(names(i.apps()), ","))
	set("ISTIO_META_CLUSTER_ID", s.KubeCluster)
	field("ISTIO_META_NODE_NAME", "spec.nodeName")
	if !i.wishes.gateway {
		set("ISTIO_META_INTERCEPTION_MODE", i.wishes.mode)
	}
	if s.Network != "" {
		set("ISTIO_META_NETWORK", s.Network)
	}
	set("ISTIO_META_WORKLOAD_NAME", o.name)
	set("ISTIO_META_OWNER", o.path)
	set("ISTIO_META_MESH_ID", s.MeshID)
	set("TRUST_DOMAIN", s.TrustDomain)
	if i.scrape != "" {
		set("ISTIO_PROMETHEUS_ANNOTATIONS", i.scrape)
	}
	if len(i.probers) > 0 {
		text, _ := json.Marshal(i.probers) // plain values always marshal
		set("ISTIO_KUBE_APP_PROBERS", string(text))
	}
	for _, key := range sortedKeys(i.wishes.proxy.GetProxyMetadata()) {
		set(key, i.wishes.proxy.GetProxyMetadata()[key])
	}
	return env
}

func (i *injection) proxyConfig() string {
	text, err := protojson.Marshal(i.wishes.proxy)
	if err != nil {
		return "{}" // what was read as this message can be written as it
	}
	// protojson varies its spaces; equal pods must stay equal.
	var value any
	_ = json.Unmarshal(text, &value)
	text, _ = json.Marshal(value)
	return string(text)
}

// podPorts lists the app's ports.
func (i *injection) podPorts() string {
	ports := []corev1.ContainerPort{}
	for _, c := range i.apps() {
		ports = append(ports, c.Ports...)
	}
	text, _ := json.Marshal(ports) // plain values always marshal
	return string(text)
}

// takeOwnContainer removes the container istio-proxy that the user declared to
// change single fields of ours, and returns it; nil when there is none.
func (i *injection) takeOwnContainer() (*corev1.Container, error) {
	for n, c := range i.pod.Spec.Containers {
		if c.Name == proxyName {
			i.pod.Spec.Containers = append(i.pod.Spec.Containers[:n:n], i.pod.Spec.Containers[n+1:]...)
			return &c, nil
		}
	}
	if i.wishes.gateway {
		return nil, fmt.Errorf("template %s needs a container named %s with image auto", gatewayTemplate, proxyName)
	}
	return nil, nil
}

// overlaid merges the user's own container over ours, as kubectl apply would.
func overlaid(ours corev1.Container, own *corev1.Container) (corev1.Container, error) {
	if own == nil {
		return ours, nil
	}
	if own.Image == "auto" {
		own = own.DeepCopy()
		own.Image = ours.Image
	}
	base, err := json.Marshal(ours)
	if err != nil {
		return ours, fmt.Errorf("marshal container %s: %w", proxyName, err)
	}
	patch, err := json.Marshal(own)
	if err != nil {
		return ours, fmt.Errorf("marshal the pod's own container %s: %w", proxyName, err)
	}
	merged, err := strategicpatch.StrategicMergePatch(base, patch, corev1.Container{})
	if err != nil {
		return ours, fmt.Errorf("merge the pod's own container %s: %w", proxyName, err)
	}
	var out corev1.Container
	return out, json.Unmarshal(merged, &out)
}

func names(cs []corev1.Container) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Name)
	}
	return out
}

func ptr[T any](v T) *T { return &v }
