package kind

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// network are the kinds that say who reaches whom.
func network() []*Kind {
	net := networkingv1.SchemeGroupVersion
	return []*Kind{
		entry[discoveryv1.EndpointSlice]{gv: discoveryv1.SchemeGroupVersion, kind: "EndpointSlice", plural: "endpointslices", generation: true}.row(),
		entry[networkingv1.Ingress]{gv: net, kind: "Ingress", plural: "ingresses", short: []string{"ing"}, generation: true, status: true}.row(),
		entry[networkingv1.IngressClass]{gv: net, kind: "IngressClass", plural: "ingressclasses", cluster: true, generation: true}.row(),
		entry[networkingv1.NetworkPolicy]{gv: net, kind: "NetworkPolicy", plural: "networkpolicies", short: []string{"netpol"}, generation: true}.row(),
		entry[coordinationv1.Lease]{gv: coordinationv1.SchemeGroupVersion, kind: "Lease", plural: "leases"}.row(),
	}
}
