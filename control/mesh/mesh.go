// Package mesh is the vocabulary of the control plane: configuration in its
// normal form, the proxies that ask for it, and the resources that they get.
//
// Every stage of a config change (DESIGN: from object to proxy) speaks these
// words and none imports another; only control.go knows them all. Values are
// immutable once built.
package mesh

import (
	"cmp"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/lateenmesh/lateen/model"
)

// Config is the mesh's own settings: Istio's MeshConfig, defaults filled in.
type Config = meshconfig.MeshConfig

// Meta says which object something came from.
type Meta struct {
	Kind       string // "VirtualService"
	Namespace  string
	Name       string
	Created    time.Time
	Generation int64
	Labels     map[string]string
	// Annotations that a stage reads; nil when none is of interest.
	Annotations map[string]string
}

// String names the object as users do: "VirtualService shop/cart".
func (m Meta) String() string { return m.Kind + " " + m.Namespace + "/" + m.Name }

// Older orders objects as Istio does wherever the oldest wins: by creation
// time, then name, then namespace.
func Older(a, b Meta) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// VirtualService in normal form: hosts and destinations are full names,
// gateways are "namespace/name" or "mesh", delegates are merged in.
type VirtualService struct {
	Meta
	Hosts    []model.Host
	Gateways []string
	Spec     *networking.VirtualService
}

// Mesh reports whether the rule applies to sidecars.
func (vs *VirtualService) Mesh() bool {
	for _, g := range vs.Gateways {
		if g == "mesh" {
			return true
		}
	}
	return len(vs.Gateways) == 0
}

// DestinationRule in normal form: rules for one host in one namespace are
// merged, Meta being the oldest's; subsets have no duplicates.
type DestinationRule struct {
	Meta
	Host model.Host
	Spec *networking.DestinationRule
}

// Gateway in normal form: hosts are "namespace/dnsName" ("*" for any
// namespace), server ports are as the user wrote them.
type Gateway struct {
	Meta
	Spec *networking.Gateway
}

// Key is how a VirtualService's gateways name it: "namespace/name".
func (g *Gateway) Key() string { return g.Namespace + "/" + g.Name }

// PeerAuthentication says what a workload accepts from its callers.
type PeerAuthentication struct {
	Meta
	Spec *security.PeerAuthentication
}

// ServiceEntry declares services that the registry does not know, as the user
// wrote it.
type ServiceEntry struct {
	Meta
	Spec *networking.ServiceEntry
}

// MTLS is the effective mode of one workload port.
type MTLS uint8

// The modes of PeerAuthentication; Permissive is the mesh's default.
const (
	Permissive MTLS = iota
	Strict
	Disable
)

// Secret is a TLS credential that a gateway may ask for.
type Secret struct {
	Namespace, Name string
	Cert, Key       []byte // PEM; empty when the secret has only a CA
	CA              []byte // PEM; empty when there is none
	// CRL is a PEM revocation list; empty when there is none.
	CRL []byte
}

// ProxyType is what a proxy stands for.
type ProxyType string

// The types of proxies, as the node id spells them.
const (
	Sidecar ProxyType = "sidecar"
	Router  ProxyType = "router" // a gateway
)

// Proxy is what the control plane knows of a connected proxy from the node in
// its first request.
type Proxy struct {
	Type           ProxyType
	ID             string // the whole node id, TYPE~IP~NAME.NS~DOMAIN
	Addresses      []string
	Name           string // the pod's name
	Namespace      string
	ServiceAccount string
	Labels         map[string]string
	Domain         string // "shop.svc.cluster.local"
	KubeCluster    string
	Network        string
	Locality       model.Locality
	Workload       string // the owner's name
	// HTTPProxyPort is the port on which the workload may use its sidecar as
	// an HTTP proxy (metadata HTTP_PROXY_PORT); 0 when it may not.
	HTTPProxyPort uint32
	// Istio is true when the proxy knows Istio's own filters (our proxy and
	// istio-proxy do, a stock Envoy does not).
	Istio bool
	// Proxyless is true for a gRPC client without a proxy (GENERATOR=grpc).
	Proxyless bool
}
