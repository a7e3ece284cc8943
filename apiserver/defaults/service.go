package defaults

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service completes a service, except for what is allotted to it.
func Service(s *corev1.Service) {
	spec := &s.Spec
	fill(&spec.Type, corev1.ServiceTypeClusterIP)
	fill(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		set(&spec.SessionAffinityConfig, corev1.SessionAffinityConfig{})
		set(&spec.SessionAffinityConfig.ClientIP, corev1.ClientIPConfig{})
		set(&spec.SessionAffinityConfig.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		fill(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == (intstr.IntOrString{}) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		set(&spec.AllocateLoadBalancerNodePorts, true)
		fill(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	case corev1.ServiceTypeNodePort:
		fill(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if spec.Type != corev1.ServiceTypeExternalName {
		set(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
}

// Endpoints completes the ports of endpoints.
func Endpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			fill(&e.Subsets[i].Ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

// EndpointSlice completes the ports of an endpoint slice.
func EndpointSlice(e *discoveryv1.EndpointSlice) {
	for i := range e.Ports {
		set(&e.Ports[i].Name, "")
		set(&e.Ports[i].Protocol, corev1.ProtocolTCP)
	}
}

// NetworkPolicy completes a network policy.
func NetworkPolicy(n *networkingv1.NetworkPolicy) {
	if len(n.Spec.PolicyTypes) == 0 {
		n.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(n.Spec.Egress) > 0 {
			n.Spec.PolicyTypes = append(n.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

// Secret moves the text that a writer gave into the data, and gives the secret its type.
func Secret(s *corev1.Secret) {
	fill(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) == 0 {
		return
	}
	data := make(map[string][]byte, len(s.Data)+len(s.StringData))
	maps.Copy(data, s.Data)
	for k, v := range s.StringData {
		data[k] = []byte(v)
	}
	s.Data, s.StringData = data, nil
}

// PersistentVolumeClaim completes a claim.
func PersistentVolumeClaim(c *corev1.PersistentVolumeClaim) {
	set(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	fill(&c.Status.Phase, corev1.ClaimPending)
}

// PersistentVolume completes a volume.
func PersistentVolume(v *corev1.PersistentVolume) {
	set(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	fill(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	fill(&v.Status.Phase, corev1.VolumePending)
}
