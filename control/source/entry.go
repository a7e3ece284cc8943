package source

import (
	"cmp"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/model"
)

// Entry is what a ServiceEntry adds: a service for each of its hosts, all with
// the same endpoints.
type Entry struct {
	Services  []*model.Service
	Endpoints map[uint32][]model.Endpoint // by the service's port number, sorted
}

// EntryOf reads a ServiceEntry of namespace. Endpoints that it lists get
// identities of trustDomain where they name an account.
func EntryOf(namespace, name string, created time.Time, spec *networking.ServiceEntry, trustDomain string) *Entry {
	out := &Entry{Endpoints: map[uint32][]model.Endpoint{}}
	var ports []model.Port
	for _, p := range spec.GetPorts() {
		protocol := model.ParseProtocol(p.GetProtocol())
		if p.GetProtocol() == "" {
			protocol = model.PortProtocol(p.GetNumber(), p.GetName(), "TCP", "")
		}
		ports = append(ports, model.Port{Name: p.GetName(), Number: p.GetNumber(), Target: cmp.Or(p.GetTargetPort(), p.GetNumber()), Protocol: protocol})
	}
	for _, host := range spec.GetHosts() {
		out.Services = append(out.Services, &model.Service{
			Host: model.Host(strings.ToLower(strings.TrimSuffix(host, "."))), Name: name, Namespace: namespace, Created: created,
			External: spec.GetLocation() == networking.ServiceEntry_MESH_EXTERNAL, Resolution: resolution(spec.GetResolution()),
			Addresses: addresses(spec.GetAddresses()), Ports: ports, ExportTo: spec.GetExportTo(),
			SubjectAltNames: spec.GetSubjectAltNames(), Selector: spec.GetWorkloadSelector().GetLabels(),
		})
	}
	for _, e := range listed(spec) {
		for _, p := range ports {
			at := entryEndpoint(e, p, trustDomain, namespace)
			out.Endpoints[p.Number] = append(out.Endpoints[p.Number], at)
		}
	}
	for _, eps := range out.Endpoints {
		slices.SortFunc(eps, compareEndpoints)
	}
	return out
}

// listed are the endpoints of an entry. One that is resolved by DNS and lists
// none is its own endpoint.
func listed(spec *networking.ServiceEntry) []*networking.WorkloadEntry {
	dns := spec.GetResolution() == networking.ServiceEntry_DNS || spec.GetResolution() == networking.ServiceEntry_DNS_ROUND_ROBIN
	if len(spec.GetEndpoints()) > 0 || !dns || spec.GetWorkloadSelector() != nil {
		return spec.GetEndpoints()
	}
	var out []*networking.WorkloadEntry
	for _, host := range spec.GetHosts() {
		if !strings.HasPrefix(host, "*") {
			out = append(out, &networking.WorkloadEntry{Address: host})
		}
	}
	return out
}

func entryEndpoint(e *networking.WorkloadEntry, p model.Port, trustDomain, namespace string) model.Endpoint {
	out := model.Endpoint{
		Address: e.GetAddress(), Port: cmp.Or(e.GetPorts()[p.Name], p.Target), PortName: p.Name, Labels: e.GetLabels(),
		Weight: e.GetWeight(), Locality: model.ParseLocality(e.GetLocality()), Network: e.GetNetwork(), Namespace: namespace,
		MTLS: e.GetLabels()["security.istio.io/tlsMode"] == "istio",
	}
	if a := e.GetServiceAccount(); a != "" {
		out.Identity = model.Identity{TrustDomain: trustDomain, Namespace: namespace, ServiceAccount: a}
	}
	return out
}

func resolution(r networking.ServiceEntry_Resolution) model.Resolution {
	switch r {
	case networking.ServiceEntry_STATIC:
		return model.ResolveStatic
	case networking.ServiceEntry_DNS:
		return model.ResolveDNS
	case networking.ServiceEntry_DNS_ROUND_ROBIN:
		return model.ResolveDNSRoundRobin
	}
	return model.ResolveNone
}

// addresses drops the prefix length of single addresses.
func addresses(list []string) []string {
	var out []string
	for _, a := range list {
		out = append(out, strings.TrimSuffix(strings.TrimSuffix(a, "/32"), "/128"))
	}
	return out
}
