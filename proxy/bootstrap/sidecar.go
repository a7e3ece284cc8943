package bootstrap

import (
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/socket"
)

// Settings say what a sidecar or gateway is: what the pod's environment tells
// it.
type Settings struct {
	// Gateway is true for a gateway, false for a sidecar.
	Gateway bool
	// IP is the pod's address, IPs all its addresses when there are more.
	IP  netip.Addr
	IPs []netip.Addr
	// Pod, Namespace and ServiceAccount name the workload.
	Pod, Namespace, ServiceAccount string
	// Domain is the DNS domain of its services; NAMESPACE.svc.cluster.local
	// when empty.
	Domain string
	// Labels and Annotations are the pod's.
	Labels, Annotations map[string]string
	// Workload is the name of what owns the pod, Owner its URL.
	Workload, Owner string
	// KubeCluster, MeshID and Network say where it runs.
	KubeCluster, MeshID, Network string
	// Region, Zone and SubZone are its locality.
	Region, Zone, SubZone string
	// HTTPProxyPort is the port on which the workload may use its sidecar as
	// an HTTP proxy; 0 when it may not.
	HTTPProxyPort uint16
	// Metadata is further node metadata by key (INTERCEPTION_MODE, POD_PORTS,
	// ...); it wins over what the other settings say.
	Metadata map[string]any
	// Version is the program's.
	Version string
	// Admin is where the admin API listens.
	Admin socket.Address
	// ADS is the control plane, which is asked for clusters and listeners.
	ADS Source
}

// istioVersion is the release of Istio whose wire contract is spoken; control
// planes choose features by it.
const istioVersion = "1.31.0"

// Sidecar is the configuration that a sidecar or gateway starts from.
func Sidecar(s Settings) (*Config, error) {
	node, err := s.node()
	if err != nil {
		return nil, err
	}
	return &Config{Node: node, Admin: s.Admin, ADS: &s.ADS, ClusterSource: &s.ADS, ListenerSource: &s.ADS}, nil
}

// ID is the node's id as Istio writes it: TYPE~IP~POD.NS~DOMAIN.
func (s Settings) ID() string {
	kind := "sidecar"
	if s.Gateway {
		kind = "router"
	}
	domain := s.Domain
	if domain == "" {
		domain = s.Namespace + ".svc.cluster.local"
	}
	return strings.Join([]string{kind, s.IP.String(), s.Pod + "." + s.Namespace, domain}, "~")
}

func (s Settings) node() (*corev3.Node, error) {
	meta, err := structpb.NewStruct(s.metadata())
	if err != nil {
		return nil, err
	}
	app := s.Labels["service.istio.io/canonical-name"]
	if app == "" {
		app = s.Labels["app"]
	}
	if app == "" {
		app = "istio-proxy"
	}
	return &corev3.Node{
		Id:            s.ID(),
		Cluster:       app + "." + s.Namespace,
		Locality:      &corev3.Locality{Region: s.Region, Zone: s.Zone, SubZone: s.SubZone},
		Metadata:      meta,
		UserAgentName: "lateen-proxy",
		UserAgentVersionType: &corev3.Node_UserAgentVersion{
			UserAgentVersion: s.Version,
		},
	}, nil
}

func (s Settings) metadata() map[string]any {
	ips := []string{s.IP.String()}
	for _, ip := range s.IPs {
		if ip != s.IP {
			ips = append(ips, ip.String())
		}
	}
	meta := map[string]any{
		"NAME":            s.Pod,
		"NAMESPACE":       s.Namespace,
		"SERVICE_ACCOUNT": s.ServiceAccount,
		"INSTANCE_IPS":    strings.Join(ips, ","),
		"ISTIO_VERSION":   istioVersion,
		"LABELS":          anyMap(s.Labels),
		"ANNOTATIONS":     anyMap(s.Annotations),
	}
	for key, value := range map[string]string{
		"WORKLOAD_NAME": s.Workload, "OWNER": s.Owner, "CLUSTER_ID": s.KubeCluster, "MESH_ID": s.MeshID, "NETWORK": s.Network,
	} {
		if value != "" {
			meta[key] = value
		}
	}
	if s.HTTPProxyPort != 0 {
		meta["HTTP_PROXY_PORT"] = strconv.Itoa(int(s.HTTPProxyPort))
	}
	for key, value := range s.Metadata {
		meta[key] = value
	}
	return meta
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
