package main

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/status"
	"github.com/lateenmesh/lateen/control/xds"
)

// statusKinds are the kinds onto which status is written.
var statusKinds = map[string]schema.GroupVersionResource{
	"VirtualService":        {Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"},
	"DestinationRule":       {Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"},
	"Gateway":               {Group: "networking.istio.io", Version: "v1", Resource: "gateways"},
	"ServiceEntry":          {Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"},
	"WorkloadEntry":         {Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"},
	"Sidecar":               {Group: "networking.istio.io", Version: "v1", Resource: "sidecars"},
	"PeerAuthentication":    {Group: "security.istio.io", Version: "v1", Resource: "peerauthentications"},
	"RequestAuthentication": {Group: "security.istio.io", Version: "v1", Resource: "requestauthentications"},
	"AuthorizationPolicy":   {Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"},
	"Telemetry":             {Group: "telemetry.istio.io", Version: "v1", Resource: "telemetries"},
}

// object is what status calls the object that m names.
func object(m mesh.Meta) (status.Object, bool) {
	gvr, ok := statusKinds[m.Kind]
	return status.Object{Resource: gvr, Namespace: m.Namespace, Name: m.Name}, ok
}

// rejected tells the users whose objects made a resource that a proxy refused.
func (p *program) rejected(proxy mesh.Proxy, r xds.Rejection) {
	p.tell(r.Culprits, proxy.Name+"."+proxy.Namespace+": "+r.Text)
}

// relented takes that back.
func (p *program) relented(_ mesh.Proxy, rs []*mesh.Resource) { p.tell(rs, "") }

func (p *program) tell(rs []*mesh.Resource, text string) {
	if p.status == nil {
		return
	}
	var told []status.Object
	for _, r := range rs {
		for _, m := range r.From {
			if o, ok := object(m); ok && !slices.Contains(told, o) {
				told = append(told, o)
				p.status.Refused(status.Refusal{Object: o, Generation: m.Generation, Text: text})
			}
		}
	}
}
