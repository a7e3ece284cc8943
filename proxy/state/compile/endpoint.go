package compile

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Endpoints compiles a load assignment for the cluster.
func (c *Cluster) Endpoints(m *endpointv3.ClusterLoadAssignment) ([]cluster.Endpoint, error) {
	if err := Fields.Check(m); err != nil {
		return nil, err
	}
	var out []cluster.Endpoint
	for i, locality := range m.GetEndpoints() {
		for j, lb := range locality.GetLbEndpoints() {
			e, err := c.endpoint(lb)
			if err != nil {
				return nil, fieldcheck.At(fmt.Sprintf("endpoints[%d].lb_endpoints[%d]", i, j), err)
			}
			l := locality.GetLocality()
			e.Locality = model.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
			e.Priority, e.LocalityWeight = locality.GetPriority(), locality.GetLoadBalancingWeight().GetValue()
			out = append(out, e)
		}
	}
	return out, nil
}

var health = map[corev3.HealthStatus]model.Health{
	corev3.HealthStatus_UNKNOWN:   model.Healthy,
	corev3.HealthStatus_HEALTHY:   model.Healthy,
	corev3.HealthStatus_UNHEALTHY: model.Unhealthy,
	corev3.HealthStatus_TIMEOUT:   model.Unhealthy,
	corev3.HealthStatus_DRAINING:  model.Draining,
	corev3.HealthStatus_DEGRADED:  model.Unhealthy,
}

func (c *Cluster) endpoint(lb *endpointv3.LbEndpoint) (cluster.Endpoint, error) {
	e := cluster.Endpoint{
		Health: health[lb.GetHealthStatus()],
		Weight: lb.GetLoadBalancingWeight().GetValue(),
		Peer:   workload(lb.GetMetadata()),
		Name:   lb.GetEndpoint().GetHostname(),
	}
	switch a := lb.GetEndpoint().GetAddress().GetAddress().(type) {
	case *corev3.Address_Pipe:
		e.Socket = a.Pipe.GetPath()
	case *corev3.Address_SocketAddress:
		port := uint16(a.SocketAddress.GetPortValue())
		ip, err := netip.ParseAddr(a.SocketAddress.GetAddress())
		switch {
		case err == nil:
			e.Address = netip.AddrPortFrom(ip, port)
		case c.Config.Kind == cluster.StrictDNS || c.Config.Kind == cluster.LogicalDNS:
			e.Name, e.Address = a.SocketAddress.GetAddress(), netip.AddrPortFrom(netip.Addr{}, port)
		default:
			return e, fieldcheck.Refuse("endpoint.address.socket_address.address", "%q is not an IP address; write type: STRICT_DNS for host names", a.SocketAddress.GetAddress())
		}
	default:
		return e, fieldcheck.Refuse("endpoint.address", "is missing")
	}
	c.socketFor(lb, &e)
	e.Labels = labels(lb.GetMetadata())
	return e, nil
}

// socketFor chooses the endpoint's transport socket: the first whose criteria
// its metadata meets.
func (c *Cluster) socketFor(lb *endpointv3.LbEndpoint, e *cluster.Endpoint) {
	has := lb.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()
next:
	for _, s := range c.sockets {
		for key, want := range s.match {
			if !proto.Equal(has[key], want) {
				continue next
			}
		}
		e.TLS, e.Plain, e.MTLS = s.tls, s.tls == nil, s.mtls
		return
	}
}

// workload reads Istio's note on an endpoint: name;namespace;canonical
// name;revision;cluster.
func workload(m *corev3.Metadata) *stream.Peer {
	note := m.GetFilterMetadata()["istio"].GetFields()["workload"].GetStringValue()
	parts := strings.Split(note, ";")
	if len(parts) < 5 {
		return nil
	}
	return &stream.Peer{
		Workload: parts[0], Namespace: parts[1], CanonicalName: parts[2], CanonicalRevision: parts[3], KubeCluster: parts[4],
	}
}

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// protocol reads how endpoints are spoken to.
func (c *Cluster) protocol(m *clusterv3.Cluster) error {
	if o := m.GetHttp2ProtocolOptions(); o != nil { //nolint:staticcheck // static files still say so
		c.speaks(cluster.HTTP2, o)
	}
	for name, packed := range m.GetTypedExtensionProtocolOptions() {
		if name != httpOptions {
			return fieldcheck.Refuse(fmt.Sprintf("[%q]", name), "is not supported")
		}
		opened, err := unpack(packed)
		if err != nil {
			return fieldcheck.At(fmt.Sprintf("[%q]", name), err)
		}
		o, ok := opened.(*upstreamv3.HttpProtocolOptions)
		if !ok {
			return fieldcheck.Refuse(fmt.Sprintf("[%q]", name), "is a %s", opened.ProtoReflect().Descriptor().FullName())
		}
		if err := c.httpOptions(o); err != nil {
			return fieldcheck.At(fmt.Sprintf("[%q].common_http_protocol_options", name), err)
		}
	}
	return nil
}

// speaks sets up HTTP/2.
func (c *Cluster) speaks(p cluster.Protocol, o *corev3.Http2ProtocolOptions) {
	config := http2Config(o)
	c.Config.Protocol = p
	c.Config.Carrier = func(conn net.Conn, changed func()) pool.Carrier {
		settings, keep := config, c.Config.Pool
		settings.IdleTimeout, settings.MaxDuration = keep.IdleTimeout, keep.MaxDuration
		client := http2.NewClient(conn, settings)
		client.MaxRequests, client.Changed = keep.MaxRequests, changed
		return client
	}
}

func (c *Cluster) httpOptions(o *upstreamv3.HttpProtocolOptions) error {
	switch {
	case o.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil:
		c.speaks(cluster.HTTP2, o.GetExplicitHttpConfig().GetHttp2ProtocolOptions())
	case o.GetUseDownstreamProtocolConfig() != nil:
		c.speaks(cluster.Downstream, o.GetUseDownstreamProtocolConfig().GetHttp2ProtocolOptions())
	case o.GetAutoConfig() != nil:
		c.speaks(cluster.Negotiated, o.GetAutoConfig().GetHttp2ProtocolOptions())
	}
	c.Config.AutoSNI = o.GetUpstreamHttpProtocolOptions().GetAutoSni()
	c.Config.AutoSAN = o.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
	common := o.GetCommonHttpProtocolOptions()
	c.Config.Pool.IdleTimeout = common.GetIdleTimeout().AsDuration()
	c.Config.Pool.MaxDuration = common.GetMaxConnectionDuration().AsDuration()
	if n := common.GetMaxRequestsPerConnection(); n != nil {
		c.Config.Pool.MaxRequests = n.GetValue()
	}
	// The message is the listener's too, which reads them.
	switch {
	case common.GetMaxStreamDuration() != nil:
		return fieldcheck.Refuse("max_stream_duration", "is not supported here: set it on the listener, or the route's timeout")
	case common.GetMaxHeadersCount() != nil:
		return fieldcheck.Refuse("max_headers_count", "is not supported here: a response may have 100 fields")
	case common.GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_ALLOW:
		return fieldcheck.Refuse("headers_with_underscores_action", "is not supported here: set it on the listener")
	}
	return nil
}
