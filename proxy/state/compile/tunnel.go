package compile

import (
	"cmp"
	"net"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/router"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/tcp"
)

// tunnel compiles how bytes are carried behind a CONNECT, or in a POST.
func (c *Compiler) tunnel(m *tcpv3.TcpProxy_TunnelingConfig, config *tcp.Config) (*tcp.Tunnel, error) {
	host, err := c.value(m.GetHostname())
	if err != nil {
		return nil, fieldcheck.At("hostname", err)
	}
	if err := formatters(m.GetFormatters()); err != nil {
		return nil, fieldcheck.At("formatters", err)
	}
	fields, err := c.operations(m.GetHeadersToAdd())
	if err != nil {
		return nil, fieldcheck.At("headers_to_add", err)
	}
	identify, err := tunnelID(m)
	if err != nil {
		return nil, err
	}
	out := &tcp.Tunnel{Headers: m.GetPropagateResponseHeaders(), Trailers: m.GetPropagateResponseTrailers()}
	switch {
	case m.GetUsePost():
		out.Post = cmp.Or(m.GetPostPath(), "/")
	case m.GetPostPath() != "":
		return nil, fieldcheck.Refuse("post_path", "needs use_post")
	}
	forward := route.Forward{}
	for _, w := range config.Clusters {
		forward.Clusters = append(forward.Clusters, route.Weighted{Cluster: w.Cluster, Weight: w.Weight})
	}
	if n := config.ConnectAttempts; n > 1 && out.Post == "" {
		forward.Retry = &route.Retry{On: route.OnConnectFailure, Max: uint32(n - 1)}
	}
	if config.HashSource {
		forward.Hash = []route.HashPolicy{{SourceIP: true}}
	}
	out.Handler = router.New(forward, router.Options{Suppress: true, MatchUpstream: out.Post != ""})
	out.Prepare = func(req *stream.Request) {
		req.Authority = host.Literal
		if host.Format != nil {
			req.Authority = host.Format(req, nil)
		}
		identify(req)
		for i := range fields {
			fields[i].Apply(&req.Header, req, nil)
		}
	}
	return out, nil
}

// tunnelID gives a tunnel's request an ID, which its connection's log can show.
func tunnelID(m *tcpv3.TcpProxy_TunnelingConfig) (func(*stream.Request), error) {
	if m.GetRequestIdExtension() == nil {
		return func(*stream.Request) {}, nil
	}
	kind, err := unpack(m.GetRequestIdExtension().GetTypedConfig())
	if err != nil {
		return nil, fieldcheck.At("request_id_extension.typed_config", err)
	}
	if _, ok := kind.(*uuidv3.UuidRequestIdConfig); !ok {
		return nil, fieldcheck.Refuse("request_id_extension.typed_config", "%s is not supported, write UuidRequestIdConfig", kind.ProtoReflect().Descriptor().FullName())
	}
	name, key := cmp.Or(m.GetRequestIdHeader(), "x-request-id"), cmp.Or(m.GetRequestIdMetadataKey(), "tunnel_request_id")
	if !(stream.Field{Name: name}).Fit() {
		return nil, fieldcheck.Refuse("request_id_header", "%q is not a field that can be changed", name)
	}
	return func(req *stream.Request) {
		id := string(stream.AppendUUID(nil))
		req.Header.Set(name, id)
		req.Info.Metadata.Set("envoy.filters.network.tcp_proxy", key, id)
	}, nil
}

// tunnelEnd compiles the other end of tunnels.
func tunnelEnd(f *route.Forward, m *routev3.RouteAction_UpgradeConfig_ConnectConfig) error {
	f.Terminate, f.TerminatePost = true, m.GetAllowPost()
	p := m.GetProxyProtocolConfig()
	switch {
	case p == nil:
		return nil
	case len(p.GetAddedTlvs()) > 0:
		return fieldcheck.Refuse("proxy_protocol_config.added_tlvs", "is not supported behind a tunnel")
	case p.GetPassThroughTlvs() != nil:
		return fieldcheck.Refuse("proxy_protocol_config.pass_through_tlvs", "is not supported behind a tunnel")
	}
	header, err := proxiedTransport(p, nil)
	f.Introduce = func(conn net.Conn, client *stream.Conn) error { return header.Introduce(conn, pool.EndsOf(client)) }
	return err
}
