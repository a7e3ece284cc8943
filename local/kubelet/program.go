package kubelet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Program is what an image stands for.
type Program struct {
	// Command starts it; a container's own command replaces it, the container's
	// arguments follow it.
	Command []string
	// Dir is the working directory; empty is the container's root.
	Dir string
	// Ports are those that it listens on when the container declares none.
	Ports []int32
	Env   map[string]string
	// Mesh is true for the mesh's own programs: they bind the pod's address
	// themselves.
	Mesh bool
	// Applets are programs that the image brings, by name: what is not on the
	// PATH is looked for here.
	Applets map[string][]string
}

// plan finds the programs of a pod's containers and allots the private ports of
// the applications, before the first container starts. Called again after an
// error, it keeps the ports that it has.
func (w *worker) plan(pod *corev1.Pod) error {
	for _, c := range containers(pod) {
		p, err := w.Program(c.Image)
		if err != nil {
			return &imageError{c.Name, c.Image, err}
		}
		w.programs[c.Name] = p
	}
	for _, c := range containers(pod) {
		p := w.programs[c.Name]
		if p.Mesh {
			w.injected = w.injected || c.Name == "istio-proxy"
			continue
		}
		for _, port := range portsOf(c, p) {
			if w.private[port] != 0 {
				continue
			}
			private, err := w.privatePort()
			if err != nil {
				return err
			}
			w.private[port] = private
		}
	}
	return nil
}

type imageError struct {
	container, image string
	cause            error
}

func (e *imageError) Error() string {
	return fmt.Sprintf("image %q is not known here: %v", e.image, e.cause)
}

func containers(pod *corev1.Pod) []corev1.Container {
	return slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers)
}

func portsOf(c corev1.Container, p Program) []int32 {
	var ports []int32
	for _, cp := range c.Ports {
		if cp.Protocol != corev1.ProtocolUDP && cp.Protocol != corev1.ProtocolSCTP {
			ports = append(ports, cp.ContainerPort)
		}
	}
	if len(ports) == 0 {
		ports = p.Ports
	}
	return ports
}

// The private ports lie below those that the kernel gives to clients.
const firstPrivate, lastPrivate = 20000, 29999

// privatePort allots a port of 127.0.0.1 that nobody listens on.
func (k *Kubelet) privatePort() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range 1000 {
		port := firstPrivate + rand.IntN(lastPrivate-firstPrivate)
		if k.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port)) // an application may bind all addresses
		if err != nil {
			continue
		}
		l.Close()
		k.ports[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no private port is free between %d and %d", firstPrivate, lastPrivate)
}

// appPorts is the mapping as the sidecar reads it: "9080=20001,9090=20002".
func (w *worker) appPorts() string {
	var pairs []string
	for port, private := range w.private {
		pairs = append(pairs, fmt.Sprintf("%d=%d", port, private))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}
