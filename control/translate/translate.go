// Package translate turns values of the mesh (services, endpoints, merged and
// scoped configuration) into Envoy's v3 resources.
//
// It is the third stage of a config change: after control/config has brought
// users' objects into normal form, before control/push decides which proxy
// gets which resource. Every function is pure: equal inputs give equal
// resources, with everything in a fixed order. Inputs are narrow, so that the
// caller re-runs only what a change touches.
package translate

import (
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Audience is the class of proxies that a resource is built for.
type Audience struct {
	// Mesh holds the mesh's settings, defaults filled in.
	Mesh *mesh.Config
	// Type is mesh.Sidecar when empty.
	Type      mesh.ProxyType
	Namespace string
	// Labels of the proxies: only sourceLabels matches look at them.
	Labels map[string]string
	// Istio is true when the proxies know Istio's own filters.
	Istio bool
	// HTTPProxyPort is the port of the listener for http_proxy; 0 for none.
	HTTPProxyPort uint32
	// Gateway is "namespace/name" of the Gateway that a route is built for;
	// empty for the mesh. GatewayRoutes sets it itself.
	Gateway string
}

// ServiceInput is what the outbound clusters of one service are made from.
type ServiceInput struct {
	Audience
	Service *model.Service
	// Rule is the DestinationRule that the audience sees for the host; nil
	// when there is none.
	Rule *mesh.DestinationRule
	// Accounts are the SPIFFE IDs that the service's endpoints may show.
	Accounts []string
	// Endpoints are written into the cluster when the service is resolved by
	// DNS; otherwise they are not read.
	Endpoints []model.Endpoint
}

// EndpointsInput is what one cluster's load assignment is made from.
type EndpointsInput struct {
	Audience
	Service *model.Service
	Port    model.Port
	// Subset is empty for the cluster without one.
	Subset string
	Rule   *mesh.DestinationRule
	// Endpoints of the service: those of other ports and subsets are left
	// out. Endpoint.MTLS must be false where the workload refuses mutual TLS
	// (PeerAuthentication DISABLE).
	Endpoints []model.Endpoint
	// Locality of the client, for priorities; zero when unknown.
	Locality model.Locality
}

// Destination is a service that a route may send to.
type Destination struct {
	Service *model.Service
	// Rule is the DestinationRule that the audience sees for it, or nil.
	Rule *mesh.DestinationRule
}

// Destinations finds what a route's hosts stand for. A host that is missing
// has no service: its routes name a cluster that does not exist (503, NC).
type Destinations map[model.Host]Destination

// HostInput is what one virtual host of a sidecar's route is made from.
type HostInput struct {
	Audience
	// Service is nil for a VirtualService's host that no service has; then
	// Host names it.
	Service *model.Service
	Host    model.Host
	Port    uint32
	// Route names the route that the host is for: PortRoute (when empty),
	// SniffedRoute or HTTPProxyRoute. Its domains differ.
	Route string
	// VirtualService is the one rule that applies to the host (on the mesh,
	// the oldest); nil when there is none.
	VirtualService *mesh.VirtualService
	Destinations   Destinations
}

// PortInput is what the outbound listeners of one port number are made from.
type PortInput struct {
	Audience
	Port     uint32
	Services []PortService // in any order: the oldest wins
}

// PortService is a service that has the port of a PortInput.
type PortService struct {
	Service *model.Service
	Rule    *mesh.DestinationRule
	// VirtualService with tls or tcp routes for the host; nil for none.
	VirtualService *mesh.VirtualService
	Destinations   Destinations
	// Addresses of the endpoints, for a headless service that speaks TCP:
	// each gets a listener.
	Addresses []string
}

// InboundPort is one port of a workload that a service (or the workload
// itself) declares.
type InboundPort struct {
	// Service is the oldest service with this target port; it decides what
	// is spoken.
	Service *model.Service
	Port    model.Port
	// Target is the workload's port.
	Target uint32
	MTLS   mesh.MTLS
	// Rule is the DestinationRule for the service, whose connection pool the
	// inbound cluster takes; nil for none.
	Rule *mesh.DestinationRule
}

// InboundInput is what a sidecar's inbound side is made from.
type InboundInput struct {
	Audience
	Ports []InboundPort
	// MTLS is the mode of ports that no service declares.
	MTLS mesh.MTLS
}

// GatewayInput is what a gateway's listeners and routes are made from.
type GatewayInput struct {
	Audience
	// Gateways that select the proxy, oldest first.
	Gateways []*mesh.Gateway
	// Targets translates a port number of the gateway's Service into the
	// pod's port; a number that is missing is bound as it is.
	Targets map[uint32]uint32
	// VirtualServices bound to any of the Gateways, oldest first.
	VirtualServices []*mesh.VirtualService
	Destinations    Destinations
}

// Problem is something in a user's object that was left out, and why.
type Problem struct {
	Object mesh.Meta
	Text   string
}

// gateway reports whether the audience is a gateway.
func (a Audience) gateway() bool { return a.Type == mesh.Router }

// gatewayKey is the word that a match's gateways compare with.
func (a Audience) gatewayKey() string {
	if a.Gateway == "" {
		return "mesh"
	}
	return a.Gateway
}
