package kind

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// network are the kinds that say who reaches whom.
func network() []*Kind {
	net := networkingv1.SchemeGroupVersion
	return []*Kind{
		entry[discoveryv1.EndpointSlice]{gv: discoveryv1.SchemeGroupVersion, kind: "EndpointSlice", plural: "endpointslices",
			defaults: defaults.EndpointSlice, validate: validate.EndpointSlice, table: table.EndpointSlice, generation: true}.row(),
		entry[networkingv1.Ingress]{gv: net, kind: "Ingress", plural: "ingresses",
			validate: validate.Ingress, table: table.Ingress, short: []string{"ing"}, generation: true, status: true}.row(),
		entry[networkingv1.IngressClass]{gv: net, kind: "IngressClass", plural: "ingressclasses",
			table: table.IngressClass, cluster: true, generation: true}.row(),
		entry[networkingv1.NetworkPolicy]{gv: net, kind: "NetworkPolicy", plural: "networkpolicies",
			defaults: defaults.NetworkPolicy, table: table.NetworkPolicy, short: []string{"netpol"}, generation: true}.row(),
		entry[coordinationv1.Lease]{gv: coordinationv1.SchemeGroupVersion, kind: "Lease", plural: "leases",
			table: table.Lease}.row(),
	}
}
