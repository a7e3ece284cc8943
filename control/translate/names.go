package translate

import (
	"fmt"
	"strings"

	"github.com/lateenmesh/lateen/model"
)

// The clusters that every sidecar has.
const (
	BlackHole          = "BlackHoleCluster"
	Passthrough        = "PassthroughCluster"
	InboundPassthrough = "InboundPassthroughCluster"
)

// OutboundName is the name of the cluster for a host's port and subset; the
// subset is empty for all endpoints.
func OutboundName(port uint32, subset string, host model.Host) string {
	return fmt.Sprintf("outbound|%d|%s|%s", port, subset, host)
}

// InboundName is the name of the cluster for a workload's own port.
func InboundName(port uint32) string { return fmt.Sprintf("inbound|%d||", port) }

// OutboundSNI is the server name that mutual TLS sends: the cluster's name as
// a DNS name.
func OutboundSNI(port uint32, subset string, host model.Host) string {
	return fmt.Sprintf("outbound_.%d_.%s_.%s", port, subset, host)
}

// HTTPProxyRoute is the route of the listener that http_proxy points to.
const HTTPProxyRoute = "http_proxy"

// PortRoute is the name of the route shared by all HTTP services of a port.
func PortRoute(port uint32) string { return fmt.Sprint(port) }

// SniffedRoute is the name of the route of one service port whose protocol
// nobody declared.
func SniffedRoute(host model.Host, port uint32) string { return fmt.Sprintf("%s:%d", host, port) }

// configPath is how resources name the object that they come from.
func configPath(kind, namespace, name string) string {
	return fmt.Sprintf("/apis/networking.istio.io/v1alpha3/namespaces/%s/%s/%s", namespace, kind, name)
}

// sniffed reports whether the proxy must find out what a port speaks.
func sniffed(p model.Protocol) bool { return p == model.Unset }

// plainHost is a host without the trailing dot that users may write.
func plainHost(host string) model.Host {
	return model.Host(strings.ToLower(strings.TrimSuffix(host, ".")))
}
