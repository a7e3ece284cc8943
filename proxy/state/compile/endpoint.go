package compile

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	codecv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Endpoints compiles a load assignment for the cluster.
func (c *Cluster) Endpoints(m *endpointv3.ClusterLoadAssignment) ([]cluster.Endpoint, cluster.Spread, error) {
	spread := cluster.Spread{Overprovision: m.GetPolicy().GetOverprovisioningFactor().GetValue(), Weighted: m.GetPolicy().GetWeightedPriorityHealth()}
	if err := Fields.Check(m); err != nil {
		return nil, spread, err
	}
	var out []cluster.Endpoint
	for i, locality := range m.GetEndpoints() {
		at := place(locality.GetLocality())
		for j, lb := range locality.GetLbEndpoints() {
			e, err := c.endpoint(lb)
			if err != nil {
				return nil, spread, fieldcheck.At(fmt.Sprintf("endpoints[%d].lb_endpoints[%d]", i, j), err)
			}
			e.Locality = at
			e.Priority, e.LocalityWeight = locality.GetPriority(), locality.GetLoadBalancingWeight().GetValue()
			out = append(out, e)
		}
	}
	return out, spread, nil
}

// place is a locality for the endpoints that share it; nil for none.
func place(l *corev3.Locality) *model.Locality {
	at := model.Locality{Region: own(l.GetRegion()), Zone: own(l.GetZone()), SubZone: own(l.GetSubZone())}
	if at == (model.Locality{}) {
		return nil
	}
	return &at
}

var health = map[corev3.HealthStatus]model.Health{
	corev3.HealthStatus_UNKNOWN:   model.Healthy,
	corev3.HealthStatus_HEALTHY:   model.Healthy,
	corev3.HealthStatus_UNHEALTHY: model.Unhealthy,
	corev3.HealthStatus_TIMEOUT:   model.Unhealthy,
	corev3.HealthStatus_DRAINING:  model.Draining,
	corev3.HealthStatus_DEGRADED:  model.Degraded,
}

func (c *Cluster) endpoint(lb *endpointv3.LbEndpoint) (cluster.Endpoint, error) {
	e := cluster.Endpoint{
		Health: health[lb.GetHealthStatus()],
		Weight: lb.GetLoadBalancingWeight().GetValue(),
		Peer:   workload(lb.GetMetadata()),
		Name:   own(lb.GetEndpoint().GetHostname()),
	}
	switch a := lb.GetEndpoint().GetAddress().GetAddress().(type) {
	case *corev3.Address_Pipe:
		e.Rare = &cluster.Rare{Socket: own(a.Pipe.GetPath())}
	case *corev3.Address_SocketAddress:
		port := uint16(a.SocketAddress.GetPortValue())
		ip, err := netip.ParseAddr(a.SocketAddress.GetAddress())
		switch {
		case err == nil:
			e.Address = netip.AddrPortFrom(ip, port)
		case c.Config.Kind == cluster.StrictDNS || c.Config.Kind == cluster.LogicalDNS:
			e.Address = netip.AddrPortFrom(netip.Addr{}, port)
			if name := own(a.SocketAddress.GetAddress()); e.Name == "" {
				e.Name = name
			} else {
				e.Rare = &cluster.Rare{DNSName: name}
			}
		default:
			return e, fieldcheck.Refuse("endpoint.address.socket_address.address", "%q is not an IP address; write type: STRICT_DNS for host names", a.SocketAddress.GetAddress())
		}
	default:
		return e, fieldcheck.Refuse("endpoint.address", "is missing")
	}
	c.socketFor(lb, &e)
	if err := c.ownTLVs(lb, &e); err != nil {
		return e, fieldcheck.At(fmt.Sprintf("metadata.typed_filter_metadata[%q]", tlvMetadata), err)
	}
	if err := rare(lb, &e); err != nil {
		return e, fieldcheck.At("endpoint.health_check_config", err)
	}
	return e, nil
}

// rare reads what few endpoints have.
func rare(lb *endpointv3.LbEndpoint, e *cluster.Endpoint) error {
	var r cluster.Rare
	if e.Rare != nil {
		r = *e.Rare
	}
	r.HashKey = own(lb.GetMetadata().GetFilterMetadata()["envoy.lb"].GetFields()["hash_key"].GetStringValue())
	if p := lb.GetEndpoint().GetHealthCheckConfig(); p != nil {
		r.Probed = &cluster.Probed{Host: own(p.GetHostname()), Port: uint16(p.GetPortValue()), Off: p.GetDisableActiveHealthCheck()}
		if at := p.GetAddress().GetSocketAddress(); at != nil {
			ip, err := netip.ParseAddr(at.GetAddress())
			if err != nil {
				return fieldcheck.Refuse("address.socket_address.address", "%q is not an IP address", at.GetAddress())
			}
			r.Probed.Address = netip.AddrPortFrom(ip, cmp.Or(r.Probed.Port, uint16(at.GetPortValue())))
		} else if p.GetAddress() != nil {
			return fieldcheck.Refuse("address", "has to be a socket_address")
		}
	}
	r.Labels, r.Described = labels(lb.GetMetadata()), told(lb.GetMetadata())
	if e.Rare != nil || r.HashKey != "" || r.Probed != nil || r.Labels != nil || !r.Described.Empty() {
		e.Rare = &r
	}
	return nil
}

// socketFor chooses the endpoint's transport socket: the first whose criteria
// its metadata meets.
func (c *Cluster) socketFor(lb *endpointv3.LbEndpoint, e *cluster.Endpoint) {
	if s := c.match(lb.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()); s != nil {
		e.TLS, e.Plain, e.MTLS = s.tls, s.tls == nil, s.mtls
	}
}

// match is the first transport socket whose criteria are met; nil when there is
// none.
func (c *Cluster) match(has map[string]*structpb.Value) *socketMatch {
next:
	for i := range c.sockets {
		for key, want := range c.sockets[i].match {
			if !proto.Equal(has[key], want) {
				continue next
			}
		}
		return &c.sockets[i]
	}
	return nil
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

// protocol reads how endpoints are spoken to: as the typed options say, else as the
// cluster's own do, which are older.
func (c *Cluster) protocol(m *clusterv3.Cluster) error {
	for name, packed := range m.GetTypedExtensionProtocolOptions() {
		at := fmt.Sprintf("typed_extension_protocol_options[%q]", name)
		if name != httpOptions {
			return fieldcheck.Refuse(at, "is not supported")
		}
		opened, err := unpack(packed)
		if err != nil {
			return fieldcheck.At(at, err)
		}
		o, ok := opened.(*upstreamv3.HttpProtocolOptions)
		if !ok {
			return fieldcheck.Refuse(at, "is a %s", opened.ProtoReflect().Descriptor().FullName())
		}
		return fieldcheck.At(at, c.httpOptions(o))
	}
	return c.olderOptions(m)
}

//nolint:staticcheck // static files still say so
func (c *Cluster) olderOptions(m *clusterv3.Cluster) error {
	first, second := m.GetHttpProtocolOptions(), m.GetHttp2ProtocolOptions()
	switch {
	case m.GetProtocolSelection() == clusterv3.Cluster_USE_DOWNSTREAM_PROTOCOL:
		c.speaks(cluster.Downstream, second)
	case first != nil && second != nil:
		return fieldcheck.Refuse("http2_protocol_options", "together with http_protocol_options needs protocol_selection")
	case second != nil:
		c.speaks(cluster.HTTP2, second)
	}
	if err := firstHTTP(first); err != nil {
		return fieldcheck.At("http_protocol_options", err)
	}
	return c.commonOptions(m.GetCommonHttpProtocolOptions())
}

// speaks sets up HTTP/2.
func (c *Cluster) speaks(p cluster.Protocol, o *corev3.Http2ProtocolOptions) {
	config := http2Config(o)
	c.Config.Protocol = p
	c.Config.Carrier = func(conn net.Conn, changed func()) pool.Carrier {
		client := http2.NewClient(conn, c.bounded(config))
		client.MaxRequests, client.Changed = c.Config.Pool.MaxRequests, changed
		return client
	}
}

// bounded are settings with the limits of all connections to endpoints.
func (c *Cluster) bounded(config http2.Config) http2.Config {
	config.IdleTimeout, config.MaxDuration = never(c.Config.Pool.IdleTimeout), c.Config.Pool.MaxDuration
	config.MaxHeaders = c.Config.MostFields
	return config
}

func (c *Cluster) httpOptions(o *upstreamv3.HttpProtocolOptions) error {
	if err := upstreamFilters(o.GetHttpFilters()); err != nil {
		return err
	}
	explicit, downstream, auto := o.GetExplicitHttpConfig(), o.GetUseDownstreamProtocolConfig(), o.GetAutoConfig()
	switch {
	case explicit.GetHttp2ProtocolOptions() != nil:
		c.speaks(cluster.HTTP2, explicit.GetHttp2ProtocolOptions())
	case downstream != nil:
		c.speaks(cluster.Downstream, downstream.GetHttp2ProtocolOptions())
	case auto != nil:
		c.speaks(cluster.Negotiated, auto.GetHttp2ProtocolOptions())
	}
	for at, first := range map[string]*corev3.Http1ProtocolOptions{
		"explicit_http_config": explicit.GetHttpProtocolOptions(), "use_downstream_protocol_config": downstream.GetHttpProtocolOptions(), "auto_config": auto.GetHttpProtocolOptions(),
	} {
		if err := firstHTTP(first); err != nil {
			return fieldcheck.At(at+".http_protocol_options", err)
		}
	}
	c.Config.AutoSNI = o.GetUpstreamHttpProtocolOptions().GetAutoSni()
	c.Config.AutoSAN = o.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
	return c.commonOptions(o.GetCommonHttpProtocolOptions())
}

// upstreamFilters takes the list of the one filter that stands for speaking to the
// endpoint.
func upstreamFilters(list []*hcmv3.HttpFilter) error {
	for i, f := range list {
		at := fmt.Sprintf("http_filters[%d]", i)
		opened, err := unpack(f.GetTypedConfig())
		if err != nil {
			return fieldcheck.At(at+".typed_config", err)
		}
		if _, codec := opened.(*codecv3.UpstreamCodec); !codec {
			return fieldcheck.Refuse(at, "%s is not supported between the router and endpoints, only upstream_codec is: write it among the listener's filters", opened.ProtoReflect().Descriptor().FullName())
		}
		if i < len(list)-1 || f.GetDisabled() {
			return fieldcheck.Refuse(at, "is upstream_codec, which must be the last filter and not disabled")
		}
	}
	return nil
}

// firstHTTP reads what is said of HTTP/1.1 to endpoints.
func firstHTTP(o *corev3.Http1ProtocolOptions) error {
	if o.GetSendFullyQualifiedUrl() {
		return fieldcheck.Refuse("send_fully_qualified_url", "is not supported: endpoints are asked by path")
	}
	return nil
}

func (c *Cluster) commonOptions(o *corev3.HttpProtocolOptions) error {
	if d := o.GetIdleTimeout(); d != nil {
		c.Config.Pool.IdleTimeout = d.AsDuration()
	}
	c.Config.Pool.MaxDuration = o.GetMaxConnectionDuration().AsDuration()
	if n := o.GetMaxRequestsPerConnection(); n != nil {
		c.Config.Pool.MaxRequests = n.GetValue()
	}
	c.Config.StreamDuration = o.GetMaxStreamDuration().AsDuration()
	c.Config.MostFields = int(o.GetMaxHeadersCount().GetValue())
	if n := o.GetMaxHeadersCount(); n != nil && n.GetValue() == 0 {
		return fieldcheck.Refuse("common_http_protocol_options.max_headers_count", "has to be at least 1")
	}
	// headers_with_underscores_action is for requests: nothing comes of it here.
	return nil
}
