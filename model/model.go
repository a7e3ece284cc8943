// Package model holds the words that the whole mesh shares, as immutable
// values: services, ports, workloads, endpoints, identities and localities.
//
// A value is never changed once it is built: whoever needs another one makes a
// copy. Maps and slices inside a value are shared and must not be written to.
// The package imports nothing of ours.
package model

import (
	"net/netip"
	"strings"
	"time"
)

// Host is a service's DNS name, in lower case and without a trailing dot. It
// may start with "*." when a resource names many hosts.
type Host string

// Wildcard reports whether the host stands for more than one name.
func (h Host) Wildcard() bool { return strings.HasPrefix(string(h), "*") }

// Matches reports whether the (possibly wildcard) host h covers name.
func (h Host) Matches(name Host) bool {
	if h == "*" {
		return true
	}
	if suffix, ok := strings.CutPrefix(string(h), "*"); ok {
		return len(name) > len(suffix) && strings.HasSuffix(string(name), suffix)
	}
	return h == name
}

// FQDN resolves a short service name as Istio does: a name without a dot
// belongs to namespace in domain ("reviews" becomes
// "reviews.shop.svc.cluster.local"); anything else stands as it is written.
func FQDN(name, namespace, domain string) Host {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || strings.ContainsAny(name, ".*:") {
		return Host(name)
	}
	return Host(name + "." + namespace + ".svc." + domain)
}

// Resolution says how a service's endpoints are found.
type Resolution uint8

// The ways to find endpoints; the comment names ServiceEntry's word and
// Envoy's cluster type for each.
const (
	ResolveStatic        Resolution = iota // STATIC and Kubernetes services: EDS
	ResolveDNS                             // DNS: STRICT_DNS
	ResolveDNSRoundRobin                   // DNS_ROUND_ROBIN: LOGICAL_DNS
	ResolveNone                            // NONE and headless services: ORIGINAL_DST
)

// Service is something that can be called by name.
type Service struct {
	Host      Host
	Name      string // of the object that declares it
	Namespace string
	Created   time.Time

	// Kubernetes is true for a Kubernetes Service, false for a ServiceEntry.
	Kubernetes bool
	// External is true when calls leave the mesh (MESH_EXTERNAL).
	External   bool
	Resolution Resolution
	// Addresses are the virtual IPs or CIDRs under which it can be called;
	// empty for a headless service.
	Addresses []string
	Ports     []Port // in the order in which they were declared
	Labels    map[string]string
	// Selector picks the workloads behind it; nil when there is none.
	Selector map[string]string
	// ExportTo lists the namespaces that see it ("*", ".", a name); empty
	// means everyone.
	ExportTo []string
	// SubjectAltNames are the identities that its endpoints may show, beside
	// those that the endpoints' service accounts imply.
	SubjectAltNames []string
	// Alias is set for an ExternalName service: the name that it stands for.
	Alias Host
}

// Headless reports whether the service has no virtual IP of its own.
func (s *Service) Headless() bool { return s.Kubernetes && len(s.Addresses) == 0 }

// Port finds a port by its number.
func (s *Service) Port(number uint32) (Port, bool) {
	for _, p := range s.Ports {
		if p.Number == number {
			return p, true
		}
	}
	return Port{}, false
}

// VisibleTo reports whether a proxy in namespace may see the service.
func (s *Service) VisibleTo(namespace string) bool {
	return Exported(s.ExportTo, s.Namespace, namespace)
}

// Exported reports whether an object of namespace owner with the given
// exportTo list is visible in namespace reader. An empty list means everyone.
func Exported(exportTo []string, owner, reader string) bool {
	if len(exportTo) == 0 {
		return true
	}
	for _, ns := range exportTo {
		if ns == "*" || ns == reader || ns == "." && owner == reader {
			return true
		}
	}
	return false
}

// Port is one port of a service.
type Port struct {
	Name     string
	Number   uint32
	Protocol Protocol
	// Target is the workload's port when it is the same on every workload;
	// 0 when TargetName picks it by name.
	Target     uint32
	TargetName string
	// NodePort is the port on every node, 0 when there is none.
	NodePort uint32
}

// Workload is one running instance: a pod, or a WorkloadEntry.
type Workload struct {
	Name      string
	Namespace string
	Created   time.Time
	Addresses []netip.Addr
	// Hostname stands in for Addresses when the workload is known by a name.
	Hostname       string
	Labels         map[string]string
	Annotations    map[string]string
	ServiceAccount string
	Node           string
	Locality       Locality
	Network        string
	// Owner is the name of the Deployment (or other controller) behind it.
	Owner string
	// Ports maps the names of the container ports to their numbers.
	Ports map[string]uint32
	Ready bool
	// MTLS is true when the workload has a proxy that accepts the mesh's
	// mutual TLS (label security.istio.io/tlsMode=istio).
	MTLS bool
}

// Endpoint is one address that serves one port of one service.
type Endpoint struct {
	Address  string // an IP, a DNS name (for DNS resolution), or a socket path
	Port     uint32
	PortName string // the service port's name
	// Labels of the workload behind it; subsets select on them.
	Labels   map[string]string
	Identity Identity // zero when it has none
	MTLS     bool
	Health   Health
	Weight   uint32 // 0 means 1
	Locality Locality
	Network  string
	// Workload and Namespace name the workload for telemetry.
	Workload  string
	Namespace string
}

// Health of an endpoint as the registry knows it.
type Health uint8

// The states of an endpoint.
const (
	Healthy Health = iota
	Unhealthy
	Draining
	Degraded // only where there are no better ones
)

// Locality is where something runs: region, zone and sub-zone.
type Locality struct{ Region, Zone, SubZone string }

// String gives the form used in Istio's settings: "region/zone/subzone".
func (l Locality) String() string {
	return strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.SubZone, "/")
}

// ParseLocality reads the form that String writes.
func ParseLocality(s string) Locality {
	parts := strings.SplitN(s, "/", 3)
	parts = append(parts, "", "")
	return Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}
