package source

import (
	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Tables hold what was read from the API server, object by object. Keys are
// "namespace/name" (a node's is its name; the mesh config's is "mesh").
type Tables struct {
	Services        collection.Input[*model.Service]
	Slices          collection.Input[*Slice]
	Pods            collection.Input[*model.Workload]
	Nodes           collection.Input[model.Locality]
	Namespaces      collection.Input[string] // the value is the network label
	Secrets         collection.Input[*mesh.Secret]
	MeshConfig      collection.Input[*mesh.Config]
	ServiceEntries  collection.Input[*mesh.ServiceEntry]
	WorkloadEntries collection.Input[*WorkloadEntry]
	// The rules are as the user wrote them: Meta and Spec only.
	VirtualServices     collection.Input[*mesh.VirtualService]
	DestinationRules    collection.Input[*mesh.DestinationRule]
	Gateways            collection.Input[*mesh.Gateway]
	PeerAuthentications collection.Input[*mesh.PeerAuthentication]
	// Untranslated holds objects of kinds that are not in force yet, by
	// "kind/namespace/name".
	Untranslated collection.Input[mesh.Meta]
}

// NewTables makes empty tables in g.
func NewTables(g *collection.Graph) Tables {
	return Tables{
		Services:            collection.NewInput(g, "source/services", collection.Deep[*model.Service]),
		Slices:              collection.NewInput(g, "source/slices", collection.Deep[*Slice]),
		Pods:                collection.NewInput(g, "source/pods", collection.Deep[*model.Workload]),
		Nodes:               collection.NewInput(g, "source/nodes", collection.Same[model.Locality]),
		Namespaces:          collection.NewInput(g, "source/namespaces", collection.Same[string]),
		Secrets:             collection.NewInput(g, "source/secrets", collection.Deep[*mesh.Secret]),
		MeshConfig:          collection.NewInput(g, "source/mesh", func(a, b *mesh.Config) bool { return proto.Equal(a, b) }),
		ServiceEntries:      collection.NewInput(g, "source/serviceentries", func(a, b *mesh.ServiceEntry) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		WorkloadEntries:     collection.NewInput(g, "source/workloadentries", func(a, b *WorkloadEntry) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		VirtualServices:     collection.NewInput(g, "source/virtualservices", func(a, b *mesh.VirtualService) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		DestinationRules:    collection.NewInput(g, "source/destinationrules", func(a, b *mesh.DestinationRule) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		Gateways:            collection.NewInput(g, "source/gateways", func(a, b *mesh.Gateway) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		PeerAuthentications: collection.NewInput(g, "source/peerauthentications", func(a, b *mesh.PeerAuthentication) bool { return sameObject(a.Meta, b.Meta, a.Spec, b.Spec) }),
		Untranslated:        collection.NewInput(g, "source/untranslated", collection.Deep[mesh.Meta]),
	}
}

// WorkloadEntry is a user's object, as it is written.
type WorkloadEntry struct {
	mesh.Meta
	Spec *networking.WorkloadEntry
}

// sameObject compares by content; the generation counts too, because status
// tells users which one was seen.
func sameObject(a, b mesh.Meta, x, y proto.Message) bool {
	return collection.Deep(a, b) && proto.Equal(x, y)
}

// selects reports whether labels carry all of selector; an empty selector
// selects nothing.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}
