// Package push decides which proxy gets which resources, in which version.
//
// It is the fourth step of a config change: proxies that must see the same
// thing form a class; what a class needs is rendered by the translation
// functions, each resource once, and put together into tables that every
// stream of the class shares. All of it is derived: a change renders what it
// affects.
package push

import (
	"log/slog"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Translation turns values into Envoy's resources. Its functions are pure.
type Translation struct {
	// BuiltinClusters are those that every proxy has.
	BuiltinClusters func(*mesh.Config, mesh.Client) []*cluster.Cluster
	// OutboundClusters are those of one service.
	OutboundClusters func(*mesh.Config, mesh.Client, mesh.Upstream) []*cluster.Cluster
	// Endpoints are the load assignments of one service's clusters.
	Endpoints         func(*mesh.Config, mesh.Load) []*endpoint.ClusterLoadAssignment
	OutboundListeners func(mesh.OutboundInput) []*listener.Listener
	OutboundRoutes    func(mesh.OutboundInput) []*route.RouteConfiguration
	InboundListeners  func(mesh.InboundInput) []*listener.Listener
	InboundClusters   func(mesh.InboundInput) []*cluster.Cluster
	// GatewayListeners also says which servers are left out, and why.
	GatewayListeners func(mesh.GatewayInput) ([]*listener.Listener, []mesh.Problem)
	GatewayRoutes    func(mesh.GatewayInput) []*route.RouteConfiguration
	// Secrets are the names under which one credential can be asked for.
	Secrets func(*mesh.Secret) []*tls.Secret
}

// Rules answers which rules hold; every answer is recorded.
type Rules interface {
	VirtualService(ctx *collection.Ctx, client string, host model.Host) *mesh.VirtualService
	DestinationRule(ctx *collection.Ctx, client, service string, host model.Host) *mesh.DestinationRule
	MTLS(ctx *collection.Ctx, namespace string, labels map[string]string) (mesh.MTLS, map[uint32]mesh.MTLS)
	GatewaysFor(ctx *collection.Ctx, labels map[string]string) []*mesh.Gateway
}

// Inputs are the tables that resources are made from.
type Inputs struct {
	// Mesh has one row, MeshKey.
	Mesh    *collection.Collection[*mesh.Config]
	MeshKey string
	// Services and Endpoints by "namespace/host".
	Services  *collection.Collection[*model.Service]
	Endpoints *collection.Collection[map[uint32][]model.Endpoint]
	// ByHost lists the services of a host.
	ByHost *collection.Collection[[]*model.Service]
	// Workloads by "namespace/name".
	Workloads *collection.Collection[*model.Workload]
	// VirtualServices by "namespace/name", and by the gateway that they are
	// bound to; DestinationRules by "namespace/host"; Gateways and Secrets by
	// "namespace/name".
	VirtualServices          *collection.Collection[*mesh.VirtualService]
	VirtualServicesByGateway *collection.Collection[[]*mesh.VirtualService]
	DestinationRules         *collection.Collection[*mesh.DestinationRule]
	Gateways                 *collection.Collection[*mesh.Gateway]
	Secrets                  *collection.Collection[*mesh.Secret]
	Rules                    Rules
	Translation              Translation
	// DomainSuffix of the cluster ("cluster.local").
	DomainSuffix string
	Log          *slog.Logger
}

// Stage is the derivations of this package.
type Stage struct {
	// Proxies are the connected proxies, by a key of the hub's own.
	Proxies collection.Input[mesh.Proxy]
	// Classes is each proxy's class.
	Classes *collection.Collection[Class]
	// Snapshots is what each class gets, by [Class.Key].
	Snapshots *collection.Collection[*mesh.Snapshot]
	// Problems lists, by "Kind/namespace/name", what of an object could not be
	// given to the proxies that it is for.
	Problems *collection.Collection[[]mesh.Problem]

	in       Inputs
	clusters *collection.Collection[[]*mesh.Resource]
	loads    *collection.Collection[[]*mesh.Resource]
}

// New derives the snapshots of all classes that have a proxy.
func New(g *collection.Graph, in Inputs) *Stage {
	s := &Stage{in: in, Proxies: collection.NewInput(g, "push/proxies", collection.Deep[mesh.Proxy])}
	var classes *collection.Collection[Class]
	s.Classes, classes = s.classes()
	render := newRender(g, s)
	s.Snapshots = collection.Derive(classes, "push/snapshots", sameSnapshot, func(ctx *collection.Ctx, _ string, c Class) (*mesh.Snapshot, bool) {
		return &mesh.Snapshot{Epoch: g.Epoch(), Tables: render.tablesOf(ctx, c)}, true
	})
	s.Problems = render.problems(classes)
	return s
}

// Renders counts how often clusters and endpoints of a service were rendered.
func (s *Stage) Renders() (clusters, endpoints uint64) { return s.clusters.Runs(), s.loads.Runs() }

// mesh gives the mesh's settings; never nil.
func (s *Stage) mesh(ctx *collection.Ctx) *mesh.Config {
	if m, ok := collection.Get(ctx, s.in.Mesh, s.in.MeshKey); ok {
		return m
	}
	return &mesh.Config{}
}

// resource marshals one message. What cannot be marshalled is left out: the
// proxies keep what they have.
func (s *Stage) resource(out []*mesh.Resource, name, typeURL string, m proto.Message, from []mesh.Meta) []*mesh.Resource {
	r, err := mesh.NewResource(name, typeURL, m, from...)
	if err != nil {
		s.in.Log.Error("a resource is left out", "type", typeURL, "name", name, "error", err)
		return out
	}
	return append(out, r)
}

func sameResources(a, b []*mesh.Resource) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (a[i].Name != b[i].Name || a[i].Version != b[i].Version) {
			return false
		}
	}
	return true
}

func sameTable(a, b *mesh.Table) bool {
	if a == b {
		return true
	}
	if a.Len() != b.Len() {
		return false
	}
	for r := range a.All() {
		if other, ok := b.Get(r.Name); !ok || other.Version != r.Version {
			return false
		}
	}
	return true
}

func sameSnapshot(a, b *mesh.Snapshot) bool {
	if len(a.Tables) != len(b.Tables) {
		return false
	}
	for k, t := range a.Tables {
		if !sameTable(t, b.Tables[k]) {
			return false
		}
	}
	return true
}
