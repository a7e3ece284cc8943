package translate

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpcors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	httpfault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuid "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// serverName is what the "server" header of answers says.
const serverName = "istio-envoy"

// httpInput is one HTTP connection manager.
type httpInput struct {
	Audience
	Side       side
	StatPrefix string
	// RouteName is served separately, unless Route is given.
	RouteName string
	Route     *route.RouteConfiguration
	// AbsoluteURL is true where clients use the proxy as an HTTP proxy.
	AbsoluteURL bool
}

// httpManager reads requests from a connection and sends each on its route.
func httpManager(in httpInput) *listener.Filter {
	m := &hcm.HttpConnectionManager{
		StatPrefix:        in.StatPrefix + ";",
		HttpFilters:       httpFilters(in),
		AccessLog:         accessLog(in.Mesh),
		UpgradeConfigs:    []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		UseRemoteAddress:  yes(in.Side == edge),
		StreamIdleTimeout: seconds(0),
		Proxy_100Continue: true,
		RequestIdExtension: &hcm.RequestIDExtension{TypedConfig: packed(&uuid.UuidRequestIdConfig{
			UseRequestIdForTraceSampling: yes(true)})},
	}
	normalizePath(m, in.Mesh.GetPathNormalization().GetNormalization())
	if in.Route != nil {
		m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: in.Route}
	} else {
		m.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: adsSource(), RouteConfigName: in.RouteName}}
	}
	if in.AbsoluteURL {
		m.HttpProtocolOptions = &core.Http1ProtocolOptions{AllowAbsoluteUrl: yes(true)}
	}
	switch in.Side {
	case inbound:
		m.ServerName = serverName
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_APPEND_FORWARD
		m.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{Subject: yes(true), Uri: true, Dns: true}
	case edge:
		m.ServerName = serverName
		topology := in.Mesh.GetDefaultConfig().GetGatewayTopology()
		m.XffNumTrustedHops = topology.GetNumTrustedProxies()
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
		if d := topology.GetForwardClientCertDetails(); d != meshconfig.ForwardClientCertDetails_UNDEFINED {
			// Both enums list the same five words; ours counts from 1.
			m.ForwardClientCertDetails = hcm.HttpConnectionManager_ForwardClientCertDetails(d - 1)
		}
		m.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: yes(true), Cert: true, Uri: true, Dns: true}
	}
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}

// httpFilters are the filters in the order that Istio promises.
func httpFilters(in httpInput) []*hcm.HttpFilter {
	var out []*hcm.HttpFilter
	if in.Istio {
		out = append(out, peerMetadata(in.Side))
		if in.Side != inbound {
			out = append(out, alpnOverride())
		}
	}
	out = append(out, httpFilter(faultFilter, &httpfault.HTTPFault{}), httpFilter(corsFilter, &httpcors.Cors{}))
	if in.Istio {
		out = append(out, httpFilter(statsFilter, statsConfig(in.Side)))
	}
	return append(out, httpFilter("envoy.filters.http.router", &router.Router{}))
}

// normalizePath makes paths that mean the same look the same before anything
// compares them.
func normalizePath(m *hcm.HttpConnectionManager, n meshconfig.MeshConfig_ProxyPathNormalization_NormalizationType) {
	m.NormalizePath = yes(n != meshconfig.MeshConfig_ProxyPathNormalization_NONE)
	m.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_KEEP_UNCHANGED
	switch n {
	case meshconfig.MeshConfig_ProxyPathNormalization_MERGE_SLASHES:
		m.MergeSlashes = true
	case meshconfig.MeshConfig_ProxyPathNormalization_DECODE_AND_MERGE_SLASHES:
		m.MergeSlashes = true
		m.PathWithEscapedSlashesAction = hcm.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
}
