package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// agentPort is where the agent answers probes on the app's behalf.
const agentPort = 15020

// prober is what a probe asked for before it was rewritten, as the agent reads
// it from ISTIO_KUBE_APP_PROBERS.
type prober struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"`
}

// rewriteProbes points the app's probes at the agent. The kubelet has no mesh
// identity, so a strict app could not be probed directly, and a probe of a
// port that the proxy listens on would always succeed.
func (i *injection) rewriteProbes() {
	if i.wishes.gateway || !i.wishes.rewriteProbes {
		return
	}
	i.probers = map[string]prober{}
	for n := range i.pod.Spec.Containers {
		i.rewriteContainer(&i.pod.Spec.Containers[n])
	}
	for n := range i.pod.Spec.InitContainers {
		if c := &i.pod.Spec.InitContainers[n]; c.RestartPolicy != nil {
			i.rewriteContainer(c) // a native sidecar of the user's
		}
	}
}

func (i *injection) rewriteContainer(c *corev1.Container) {
	for _, p := range []struct {
		name  string
		probe *corev1.Probe
	}{{"livez", c.LivenessProbe}, {"readyz", c.ReadinessProbe}, {"startupz", c.StartupProbe}} {
		if p.probe == nil {
			continue
		}
		h := &p.probe.ProbeHandler
		i.redirect(c, "/app-health/"+c.Name+"/"+p.name, prober{
			HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket, GRPC: h.GRPC, TimeoutSeconds: p.probe.TimeoutSeconds,
		}, func(get *corev1.HTTPGetAction) { *h = corev1.ProbeHandler{HTTPGet: get} })
	}
	if c.Lifecycle == nil {
		return
	}
	for _, l := range []struct {
		name    string
		handler *corev1.LifecycleHandler
	}{{"poststartz", c.Lifecycle.PostStart}, {"prestopz", c.Lifecycle.PreStop}} {
		if l.handler == nil {
			continue
		}
		h := l.handler
		i.redirect(c, "/app-lifecycle/"+c.Name+"/"+l.name, prober{HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket},
			func(get *corev1.HTTPGetAction) { *h = corev1.LifecycleHandler{HTTPGet: get} })
	}
}

// redirect notes one probe under path and has set replace it. Probes by exec
// stay, they run inside the app.
func (i *injection) redirect(c *corev1.Container, path string, p prober, set func(*corev1.HTTPGetAction)) {
	switch {
	case p.HTTPGet != nil:
		get := *p.HTTPGet
		get.Port = numbered(get.Port, c)
		p.HTTPGet = &get
		if get.Port.IntValue() == agentPort {
			return
		}
	case p.TCPSocket != nil:
		socket := *p.TCPSocket
		socket.Port = numbered(socket.Port, c)
		p.TCPSocket = &socket
	case p.GRPC != nil:
	default:
		return
	}
	i.probers[path] = p
	set(&corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(agentPort)})
}

// numbered replaces a port's name by its number.
func numbered(p intstr.IntOrString, c *corev1.Container) intstr.IntOrString {
	if p.Type == intstr.String {
		for _, port := range c.Ports {
			if port.Name == p.StrVal {
				return intstr.FromInt32(port.ContainerPort)
			}
		}
	}
	return p
}
