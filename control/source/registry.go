package source

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Registry is the mesh's services, workloads and endpoints.
type Registry struct {
	// Services by [ServiceKey]: a Kubernetes Service goes before a
	// ServiceEntry, then the oldest wins.
	Services *collection.Collection[*model.Service]
	// ByHost lists, for a host, its services in all namespaces.
	ByHost *collection.Collection[[]*model.Service]
	// Endpoints by [ServiceKey].
	Endpoints *collection.Collection[ByPort]
	// Workloads by "namespace/name"; those of WorkloadEntries have the key
	// "namespace/WorkloadEntry/name".
	Workloads *collection.Collection[*model.Workload]
	// ByAddress lists the workloads that have an address.
	ByAddress *collection.Collection[[]*model.Workload]
}

// ByPort holds a service's endpoints by its port number; each list is sorted by
// address.
type ByPort = map[uint32][]model.Endpoint

// ServiceKey is the key of a service: the same host may be declared once per
// namespace.
func ServiceKey(namespace string, host model.Host) string { return namespace + "/" + string(host) }

// NewRegistry derives the registry from the tables.
func NewRegistry(g *collection.Graph, t Tables) Registry {
	var r Registry
	entries := collection.Derive(t.ServiceEntries.Collection, "source/entries", collection.Deep[*Entry],
		func(ctx *collection.Ctx, _ string, e *mesh.ServiceEntry) (*Entry, bool) {
			return EntryOf(e.Namespace, e.Name, e.Created, e.Spec, trustDomain(ctx, t)), true
		})
	claimsOfServices := collection.Group(t.Services.Collection, "source/kubeservicesbyhost",
		func(_ string, s *model.Service) []string { return []string{ServiceKey(s.Namespace, s.Host)} })
	claimsOfEntries := collection.Group(entries, "source/entriesbyhost", func(_ string, e *Entry) []string {
		var keys []string
		for _, s := range e.Services {
			keys = append(keys, ServiceKey(s.Namespace, s.Host))
		}
		return keys
	})
	r.Services = services(g, claimsOfServices, claimsOfEntries)
	r.ByHost = collection.Group(r.Services, "source/servicesbyhost",
		func(_ string, s *model.Service) []string { return []string{string(s.Host)} })

	r.Workloads = workloads(g, t)
	r.ByAddress = collection.Group(r.Workloads, "source/workloadsbyaddress", func(_ string, w *model.Workload) []string {
		var keys []string
		for _, a := range w.Addresses {
			keys = append(keys, a.String())
		}
		return keys
	})
	r.Endpoints = endpoints(t, r, entries)
	return r
}

// services picks, for each key, the declaration that counts.
func services(g *collection.Graph, kube *collection.Collection[[]*model.Service], entries *collection.Collection[[]*Entry]) *collection.Collection[*model.Service] {
	keys := collection.Union(g, "source/servicekeys", collection.Keys(kube), collection.Keys(entries))
	return collection.Derive(keys, "source/winners", collection.Deep[*model.Service], func(ctx *collection.Ctx, key string, _ struct{}) (*model.Service, bool) {
		if claims, ok := collection.Get(ctx, kube, key); ok {
			return oldest(claims), true
		}
		list, _ := collection.Get(ctx, entries, key)
		var claims []*model.Service
		for _, e := range list {
			for _, s := range e.Services {
				if ServiceKey(s.Namespace, s.Host) == key {
					claims = append(claims, s)
				}
			}
		}
		return oldest(claims), len(claims) > 0
	})
}

func oldest(list []*model.Service) *model.Service {
	if len(list) == 0 {
		return nil
	}
	return slices.MinFunc(list, func(a, b *model.Service) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
}

// workloads gives pods their node's locality and joins the WorkloadEntries.
func workloads(g *collection.Graph, t Tables) *collection.Collection[*model.Workload] {
	pods := collection.Derive(t.Pods.Collection, "source/podworkloads", collection.Deep[*model.Workload],
		func(ctx *collection.Ctx, _ string, p *model.Workload) (*model.Workload, bool) {
			w := *p
			if node, ok := collection.Get(ctx, t.Nodes.Collection, p.Node); ok && w.Locality == (model.Locality{}) {
				w.Locality = node
			}
			if w.Network == "" {
				w.Network, _ = collection.Get(ctx, t.Namespaces.Collection, p.Namespace)
			}
			return &w, true
		})
	entries := collection.Derive(t.WorkloadEntries.Collection, "source/entryworkloads", collection.Deep[*model.Workload],
		func(_ *collection.Ctx, _ string, e *WorkloadEntry) (*model.Workload, bool) {
			return entryWorkload(e), true
		})
	keyed := collection.Rekey(entries, "source/entryworkloadkeys", func(_ string, w *model.Workload) string { return entryKey(w) })
	return collection.Union(g, "source/workloads", pods, keyed)
}

// entryKey is the key of a workload that a WorkloadEntry declares.
func entryKey(w *model.Workload) string { return w.Namespace + "/WorkloadEntry/" + w.Name }

func entryWorkload(e *WorkloadEntry) *model.Workload {
	spec := e.Spec
	w := &model.Workload{
		Name: e.Name, Namespace: e.Namespace, Created: e.Created, Labels: spec.GetLabels(),
		ServiceAccount: cmp.Or(spec.GetServiceAccount(), "default"), Locality: model.ParseLocality(spec.GetLocality()),
		Network: spec.GetNetwork(), Owner: e.Name, Ports: spec.GetPorts(), Ready: true,
		MTLS: spec.GetLabels()["security.istio.io/tlsMode"] == "istio",
	}
	if a, err := netip.ParseAddr(spec.GetAddress()); err == nil {
		w.Addresses = []netip.Addr{a}
	} else {
		w.Hostname = spec.GetAddress()
	}
	return w
}

// trustDomain of the mesh, which identities belong to.
func trustDomain(ctx *collection.Ctx, t Tables) string {
	if m, ok := collection.Get(ctx, t.MeshConfig.Collection, MeshKey); ok && m.GetTrustDomain() != "" {
		return m.GetTrustDomain()
	}
	return "cluster.local"
}

// MeshKey is the key of the mesh config's only row.
const MeshKey = "mesh"
