package translate

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/model"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// Endpoints lists where the traffic of one service port and subset may go:
// the healthy endpoints, by locality, in the order of their addresses.
func Endpoints(in EndpointsInput) *endpoint.ClusterLoadAssignment {
	out := &endpoint.ClusterLoadAssignment{ClusterName: OutboundName(in.Port.Number, in.Subset, in.Service.Host)}
	byLocality := map[model.Locality][]model.Endpoint{}
	for _, e := range in.Endpoints {
		if e.PortName == in.Port.Name && e.Health == model.Healthy && inSubset(in, e) {
			byLocality[e.Locality] = append(byLocality[e.Locality], e)
		}
	}
	for _, l := range slices.SortedFunc(maps.Keys(byLocality), compareLocality) {
		out.Endpoints = append(out.Endpoints, localityEndpoints(l, byLocality[l]))
	}
	lb := effectivePolicy(in.Mesh, in.Rule, in.Subset, in.Port.Number)
	setting := localitySetting(lb.GetLoadBalancer(), in.Mesh)
	switch {
	case in.Locality == model.Locality{}:
	case distributes(setting):
		distribute(setting, in.Locality, out.Endpoints)
		out.Endpoints = slices.DeleteFunc(out.Endpoints, func(g *endpoint.LocalityLbEndpoints) bool { return len(g.LbEndpoints) == 0 })
	case lb.GetOutlierDetection() != nil && setting != nil:
		failover(setting, in.Locality, out.Endpoints)
	}
	return out
}

// inSubset reports whether the endpoint has all labels of the subset.
func inSubset(in EndpointsInput, e model.Endpoint) bool {
	if in.Subset == "" {
		return true
	}
	s := subsetNamed(in.Rule, in.Subset)
	return s != nil && hasLabels(e.Labels, s.Labels)
}

// hasLabels reports whether have holds every label of want.
func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func compareLocality(a, b model.Locality) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
}

// localityEndpoints is one locality's group, weighing as much as its
// endpoints do together.
func localityEndpoints(l model.Locality, eps []model.Endpoint) *endpoint.LocalityLbEndpoints {
	slices.SortFunc(eps, func(a, b model.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Workload, b.Workload))
	})
	g := &endpoint.LocalityLbEndpoints{}
	if l != (model.Locality{}) {
		g.Locality = &core.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
	}
	var sum uint32
	for _, e := range eps {
		weight := max(1, e.Weight)
		sum += weight
		g.LbEndpoints = append(g.LbEndpoints, &endpoint.LbEndpoint{
			HostIdentifier:      &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: endpointAddress(e)}},
			LoadBalancingWeight: u32(weight),
			Metadata:            endpointMetadata(e),
		})
	}
	g.LoadBalancingWeight = u32(sum)
	return g
}

func endpointAddress(e model.Endpoint) *core.Address {
	if path, ok := strings.CutPrefix(e.Address, "unix://"); ok {
		return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path}}}
	}
	return socket(e.Address, e.Port)
}

// endpointMetadata says whether the endpoint takes mutual TLS and, for
// telemetry, which workload it is: "name;namespace;canonical name;canonical
// revision;cluster".
func endpointMetadata(e model.Endpoint) *core.Metadata {
	m := &core.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
	if e.MTLS {
		m.FilterMetadata["envoy.transport_socket_match"] = &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": text("istio")}}
	}
	if e.Workload != "" {
		name, revision := canonical(e)
		workload := strings.Join([]string{e.Workload, e.Namespace, name, revision, "Kubernetes"}, ";")
		m.FilterMetadata["istio"] = &structpb.Struct{Fields: map[string]*structpb.Value{"workload": text(workload)}}
	}
	if len(m.FilterMetadata) == 0 {
		return nil
	}
	return m
}

// canonical is the workload's canonical service and revision, by its labels.
func canonical(e model.Endpoint) (name, revision string) {
	l := e.Labels
	name = cmp.Or(l["service.istio.io/canonical-name"], l["app.kubernetes.io/name"], l["app"], e.Workload)
	return name, cmp.Or(l["service.istio.io/canonical-revision"], l["app.kubernetes.io/version"], l["version"], "latest")
}
