package source

import (
	"cmp"
	"maps"
	"slices"

	discovery "k8s.io/api/discovery/v1"

	"github.com/lateenmesh/lateen/model"
)

// Slice is what matters of an EndpointSlice.
type Slice struct {
	Namespace, Name string
	Service         string            // the Service's name
	Ports           map[string]uint32 // the pods' ports by the service ports' names
	Endpoints       []SliceEndpoint
}

// SliceEndpoint is one address of a [Slice].
type SliceEndpoint struct {
	Address string
	Health  model.Health
	Pod     string // name of the pod behind it, in the slice's namespace; empty for none
	Zone    string
}

// SliceOf reads an EndpointSlice. It is false for one of no Service.
func SliceOf(s *discovery.EndpointSlice) (*Slice, bool) {
	out := &Slice{Namespace: s.Namespace, Name: s.Name, Service: s.Labels[discovery.LabelServiceName], Ports: map[string]uint32{}}
	if out.Service == "" || s.AddressType == discovery.AddressTypeFQDN {
		return nil, false
	}
	for _, p := range s.Ports {
		if p.Port == nil {
			continue
		}
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		out.Ports[name] = uint32(*p.Port)
	}
	for _, e := range s.Endpoints {
		at := SliceEndpoint{Health: health(e.Conditions)}
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			at.Pod = e.TargetRef.Name
		}
		if e.Zone != nil {
			at.Zone = *e.Zone
		}
		for _, a := range e.Addresses {
			at.Address = a
			out.Endpoints = append(out.Endpoints, at)
		}
	}
	return out, true
}

// health of an endpoint: not ready but still serving and ending is draining.
func health(c discovery.EndpointConditions) model.Health {
	switch {
	case c.Ready == nil || *c.Ready:
		return model.Healthy
	case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
		return model.Draining
	}
	return model.Unhealthy
}

// Endpoints joins the slices of a Service with the pods behind them. pod finds
// one by its name in the Service's namespace; identities are of trustDomain.
// The result is by the Service's port number, sorted by address.
func Endpoints(s *model.Service, sl []*Slice, pod func(name string) (*model.Workload, bool), trustDomain string) map[uint32][]model.Endpoint {
	out := map[uint32][]model.Endpoint{}
	for _, slice := range sl {
		for _, e := range slice.Endpoints {
			base := model.Endpoint{Address: e.Address, Health: e.Health, Namespace: slice.Namespace, Locality: model.Locality{Zone: e.Zone}}
			if w, ok := pod(e.Pod); ok && e.Pod != "" {
				describe(&base, w, trustDomain)
			}
			for _, p := range s.Ports {
				number, ok := slice.Ports[p.Name]
				if !ok {
					continue
				}
				at := base
				at.Port, at.PortName = number, p.Name
				out[p.Number] = append(out[p.Number], at)
			}
		}
	}
	for _, port := range slices.Sorted(maps.Keys(out)) {
		slices.SortFunc(out[port], compareEndpoints)
		out[port] = slices.CompactFunc(out[port], func(a, b model.Endpoint) bool { return compareEndpoints(a, b) == 0 })
	}
	return out
}

// describe adds what the workload says about its endpoint.
func describe(e *model.Endpoint, w *model.Workload, trustDomain string) {
	e.Labels, e.MTLS, e.Network, e.Workload = w.Labels, w.MTLS, w.Network, w.Owner
	e.Identity = model.Identity{TrustDomain: trustDomain, Namespace: w.Namespace, ServiceAccount: w.ServiceAccount}
	if w.Locality != (model.Locality{}) {
		e.Locality = w.Locality
	}
}

func compareEndpoints(a, b model.Endpoint) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
}
