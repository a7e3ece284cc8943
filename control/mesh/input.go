package mesh

import "github.com/lateenmesh/lateen/model"

// Client is what translation may know of the proxies that it works for: the
// same for every proxy of a class.
type Client struct {
	Type      ProxyType
	Namespace string
	// Labels are the workload's labels, cut down to the keys that some rule's
	// sourceLabels or selector asks for.
	Labels map[string]string
	// DomainSuffix of the cluster: "cluster.local".
	DomainSuffix string
	// HTTPProxyPort is as in [Proxy].
	HTTPProxyPort uint32
	// Istio is as in [Proxy].
	Istio bool
	// Proxyless is as in [Proxy].
	Proxyless bool
}

// Upstream is one service as a client sees it.
type Upstream struct {
	Service *model.Service
	// Rule is the DestinationRule that the client obeys; nil when there is none.
	Rule *DestinationRule
	// Identities that the service's endpoints run as, sorted.
	Identities []model.Identity
	// Inline holds the endpoints that belong into the cluster itself: those of
	// services resolved by DNS. By the service's port number, sorted.
	Inline map[uint32][]model.Endpoint
	// Plain lists the ports whose every endpoint refuses or lacks mutual TLS
	// (no proxy, or PeerAuthentication DISABLE).
	Plain map[uint32]bool
}

// Load is what is needed to list a service's endpoints.
type Load struct {
	Service *model.Service
	Rule    *DestinationRule
	// Endpoints by the service's port number, sorted by address.
	Endpoints map[uint32][]model.Endpoint
}

// Lookup answers a translation's questions about other things than its
// subject; every answer is recorded as a dependency.
type Lookup struct {
	// Service finds a service by its host, as the client sees it; nil if it
	// sees none.
	Service func(model.Host) *model.Service
	// Rule finds the DestinationRule that the client obeys for a host.
	Rule func(model.Host) *DestinationRule
	// Addresses lists where the endpoints of a service's port are.
	Addresses func(s *model.Service, port uint32) []string
}

// Routed is a service with the VirtualService that rules it for sidecars.
type Routed struct {
	Service *model.Service
	// VirtualService is nil when no rule names the service's host.
	VirtualService *VirtualService
}

// OutboundInput is what a sidecar's outbound listeners and routes are made of.
type OutboundInput struct {
	Mesh   *Config
	Client Client
	// Services that the client sees, oldest first.
	Services []Routed
	// Hosts holds the mesh VirtualServices that name a host which is no
	// service: they still make virtual hosts on their ports. Oldest first.
	Hosts  []*VirtualService
	Lookup Lookup
}

// Target is one port of a workload that services lead to.
type Target struct {
	Service *model.Service // the oldest that leads there
	Port    model.Port     // the service's port
	// Number is the workload's port.
	Number uint32
	MTLS   MTLS
	// Rule is the service's DestinationRule, for connection pool settings; may be nil.
	Rule *DestinationRule
}

// InboundInput is what a sidecar's inbound side is made of.
type InboundInput struct {
	Mesh   *Config
	Client Client
	// Targets sorted by Number, one for each.
	Targets []Target
	// MTLS is the workload's mode on the ports that no target names.
	MTLS MTLS
	// PortMTLS holds the ports (target or not) whose mode differs from MTLS.
	PortMTLS map[uint32]MTLS
}

// GatewayServer is one server of a Gateway, on the port where the pod has it.
type GatewayServer struct {
	Gateway *Gateway
	Index   int // into Gateway.Spec.Servers
	// Port is the number to bind: Service ports are already turned into
	// target ports.
	Port uint32
}

// GatewayInput is what a gateway proxy's listeners and routes are made of.
type GatewayInput struct {
	Mesh   *Config
	Client Client
	// Servers of all Gateways that select the proxy, oldest Gateway first.
	Servers []GatewayServer
	// VirtualServices that are bound to any of those Gateways, oldest first.
	VirtualServices []*VirtualService
	Lookup          Lookup
}
