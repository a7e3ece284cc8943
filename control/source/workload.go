package source

import (
	"maps"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lateenmesh/lateen/model"
)

// The labels of a node that say where it is.
const (
	regionLabel  = "topology.kubernetes.io/region"
	zoneLabel    = "topology.kubernetes.io/zone"
	subZoneLabel = "topology.istio.io/subzone"
)

// Locality is where a node is.
func Locality(n *corev1.Node) model.Locality {
	return model.Locality{Region: n.Labels[regionLabel], Zone: n.Labels[zoneLabel], SubZone: n.Labels[subZoneLabel]}
}

// Workload is a pod. It is false for a pod that has no address or has ended.
func Workload(p *corev1.Pod, at model.Locality) (*model.Workload, bool) {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil, false
	}
	out := &model.Workload{
		Name: p.Name, Namespace: p.Namespace, Created: p.CreationTimestamp.Time, Labels: maps.Clone(p.Labels),
		ServiceAccount: p.Spec.ServiceAccountName, Node: p.Spec.NodeName, Network: p.Labels["topology.istio.io/network"],
		Locality: at, Owner: owner(p), Ports: map[string]uint32{}, MTLS: p.Labels["security.istio.io/tlsMode"] == "istio",
	}
	if out.ServiceAccount == "" {
		out.ServiceAccount = "default"
	}
	for _, ip := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if a, err := netip.ParseAddr(ip.IP); err == nil && (len(out.Addresses) == 0 || out.Addresses[0] != a) {
			out.Addresses = append(out.Addresses, a)
		}
	}
	if len(out.Addresses) == 0 {
		return nil, false
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name != "" {
				out.Ports[port.Name] = uint32(port.ContainerPort)
			}
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return out, true
}

// owner is the name of the controller behind a pod: for a ReplicaSet of a
// Deployment the Deployment's.
func owner(p *corev1.Pod) string {
	for _, ref := range p.OwnerReferences {
		if ref.Controller == nil || !*ref.Controller {
			continue
		}
		if name, ok := strings.CutSuffix(ref.Name, "-"+p.Labels["pod-template-hash"]); ok && ref.Kind == "ReplicaSet" {
			return name
		}
		return ref.Name
	}
	return p.Name
}
