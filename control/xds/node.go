package xds

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// ProxyOf reads the node of a client's first request, as Istio's proxies write
// it: the id is TYPE~ADDRESS~NAME.NAMESPACE~DOMAIN, the rest is metadata. A
// gRPC client without a proxy (GENERATOR=grpc) may have any id.
func ProxyOf(n *core.Node) (mesh.Proxy, error) {
	if n == nil {
		return mesh.Proxy{}, errors.New("the first request has no node")
	}
	meta := n.GetMetadata().GetFields()
	p := mesh.Proxy{
		ID:             n.GetId(),
		Name:           text(meta, "NAME"),
		Namespace:      text(meta, "NAMESPACE"),
		ServiceAccount: text(meta, "SERVICE_ACCOUNT"),
		Labels:         labels(meta["LABELS"]),
		KubeCluster:    text(meta, "CLUSTER_ID"),
		Network:        text(meta, "NETWORK"),
		Workload:       text(meta, "WORKLOAD_NAME"),
		Locality: model.Locality{
			Region: n.GetLocality().GetRegion(), Zone: n.GetLocality().GetZone(), SubZone: n.GetLocality().GetSubZone(),
		},
		Proxyless: text(meta, "GENERATOR") == "grpc",
		Istio:     n.GetUserAgentName() == "lateen-proxy" || text(meta, "ISTIO_VERSION") != "",
	}
	if err := readID(&p, n.GetId()); err != nil {
		return mesh.Proxy{}, err
	}
	if ips := text(meta, "INSTANCE_IPS"); ips != "" {
		p.Addresses = appendMissing(p.Addresses, strings.Split(ips, ","))
	}
	if port := text(meta, "HTTP_PROXY_PORT"); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return mesh.Proxy{}, fmt.Errorf("node %s: metadata HTTP_PROXY_PORT %q is not a port", n.GetId(), port)
		}
		p.HTTPProxyPort = uint32(number)
	}
	return p, nil
}

// readID fills in what the id says and metadata did not.
func readID(p *mesh.Proxy, id string) error {
	parts := strings.Split(id, "~")
	if len(parts) != 4 {
		if p.Proxyless && p.Namespace != "" {
			p.Type = mesh.Sidecar
			return nil
		}
		return fmt.Errorf("node id %q: want TYPE~ADDRESS~NAME.NAMESPACE~DOMAIN, as in sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local", id)
	}
	p.Type = mesh.ProxyType(parts[0])
	if p.Type != mesh.Sidecar && p.Type != mesh.Router {
		return fmt.Errorf("node id %q: proxy type %q is not served, want sidecar or router", id, parts[0])
	}
	p.Addresses = appendMissing(p.Addresses, []string{parts[1]})
	p.Domain = parts[3]
	dot := strings.LastIndex(parts[2], ".")
	if dot < 0 {
		return fmt.Errorf("node id %q: %q is not NAME.NAMESPACE", id, parts[2])
	}
	if p.Name == "" {
		p.Name = parts[2][:dot]
	}
	switch ns := parts[2][dot+1:]; p.Namespace {
	case "":
		p.Namespace = ns
	case ns:
	default:
		return fmt.Errorf("node id %q is of namespace %s, its metadata says %s", id, ns, p.Namespace)
	}
	return nil
}

func text(meta map[string]*structpb.Value, key string) string {
	switch v := meta[key].GetKind().(type) {
	case *structpb.Value_StringValue:
		return v.StringValue
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(v.NumberValue, 'f', -1, 64)
	}
	return ""
}

func labels(v *structpb.Value) map[string]string {
	fields := v.GetStructValue().GetFields()
	out := make(map[string]string, len(fields))
	for key, value := range fields {
		out[key] = value.GetStringValue()
	}
	return out
}

func appendMissing(list, more []string) []string {
	for _, s := range more {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// Admit checks that a caller may speak for a proxy: a verified identity must
// be of the proxy's namespace and service account.
func Admit(caller model.Identity, p mesh.Proxy) error {
	if caller.IsZero() {
		return nil
	}
	if caller.Namespace != p.Namespace || p.ServiceAccount != "" && caller.ServiceAccount != p.ServiceAccount {
		return fmt.Errorf("caller %s may not speak for proxy %s of namespace %s, service account %q",
			caller, p.ID, p.Namespace, p.ServiceAccount)
	}
	return nil
}
