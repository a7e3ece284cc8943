package compile

import (
	alpnv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/alpn/v3"
	peerv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/peer_metadata/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/alpn"
	"github.com/lateenmesh/lateen/proxy/filter/fault"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// builder makes a filter for a route, given what the route overrides (nil:
// nothing). A nil filter has nothing to do there.
type builder = func(override proto.Message, on *spot) (stream.Filter, error)

// filterKinds are the HTTP filters that are supported, by the full name of
// their settings' message. A filter's settings are checked here, once; its
// builder is asked route by route.
var filterKinds = map[protoreflect.FullName]func(c *Compiler, m proto.Message, inbound bool) (builder, error){
	"io.istio.http.peer_metadata.Config":                                kind((*Compiler).peerMetadata),
	"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig":         kind(func(_ *Compiler, m *alpnv3.FilterConfig) (builder, error) { return alpnFilter(m), nil }),
	"envoy.extensions.filters.http.fault.v3.HTTPFault":                  kind(func(_ *Compiler, m *faultv3.HTTPFault) (builder, error) { return faultFilter(m), nil }),
	"envoy.extensions.filters.http.rbac.v3.RBAC":                        kind(rbacFilter),
	"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication":      kind(jwtFilter),
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz":               kind(extAuthzFilter),
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit":   kind(localLimitFilter),
	"envoy.extensions.filters.http.ratelimit.v3.RateLimit":              kind(globalLimitFilter),
	"envoy.extensions.filters.http.buffer.v3.Buffer":                    kind(bufferFilter),
	"envoy.extensions.filters.http.compressor.v3.Compressor":            kind(compressorFilter),
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy":                  kind(csrfFilter),
	"envoy.extensions.filters.http.decompressor.v3.Decompressor":        kind(decompressorFilter),
	"envoy.extensions.filters.http.grpc_http1_bridge.v3.Config":         kind(grpcBridgeFilter),
	"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb":                 kind(grpcWebFilter[*grpcwebv3.GrpcWeb]),
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation":   kind(mutationFilter),
	"envoy.extensions.filters.http.header_to_metadata.v3.Config":        kind(toMetadataFilter),
	"envoy.extensions.filters.http.on_demand.v3.OnDemand":               kind(onDemandFilter),
	"envoy.extensions.filters.http.set_filter_state.v3.Config":          kind(setStateFilter),
	"envoy.extensions.filters.http.set_metadata.v3.Config":              kind(setMetadataFilter),
	"envoy.extensions.filters.http.stateful_session.v3.StatefulSession": kind(sessionFilter),
	"envoy.extensions.filters.http.health_check.v3.HealthCheck":         kind(healthFilter),
	"envoy.extensions.filters.http.cors.v3.Cors":                        kind(func(c *Compiler, _ *corsv3.Cors) (builder, error) { return c.corsFilter, nil }),
}

// kind is a filter's compile function as the table keeps it.
func kind[M proto.Message](compile func(*Compiler, M) (builder, error)) func(*Compiler, proto.Message, bool) (builder, error) {
	return func(c *Compiler, m proto.Message, _ bool) (builder, error) {
		typed, ok := m.(M)
		if !ok {
			return nil, fieldcheck.Refuse("", "is not a %T", typed)
		}
		return compile(c, typed)
	}
}

// passthrough is the cluster of destinations that the mesh does not know.
const passthrough = "PassthroughCluster"

func (c *Compiler) peerMetadata(m *peerv3.Config) (builder, error) {
	told, err := peermetadata.Encode(c.Self)
	if err != nil {
		return nil, err
	}
	base := peermetadata.Filter{Metadata: told, ID: c.NodeID, Known: &c.peers}
	for _, d := range m.GetDownstreamDiscovery() {
		base.DiscoverDownstream = base.DiscoverDownstream || d.GetIstioHeaders() != nil
	}
	for _, d := range m.GetUpstreamDiscovery() {
		base.DiscoverUpstream = base.DiscoverUpstream || d.GetIstioHeaders() != nil
	}
	for _, p := range m.GetDownstreamPropagation() {
		base.PropagateDownstream = base.PropagateDownstream || p.GetIstioHeaders() != nil
	}
	skipExternal := false
	for _, p := range m.GetUpstreamPropagation() {
		base.PropagateUpstream = base.PropagateUpstream || p.GetIstioHeaders() != nil
		skipExternal = skipExternal || p.GetIstioHeaders().GetSkipExternalClusters()
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		if override != nil {
			return nil, notForRoutes(override)
		}
		f := base
		if on.forward == nil || skipExternal && external(on.forward) {
			f.PropagateUpstream, f.DiscoverUpstream = false, false
		}
		if !f.DiscoverDownstream && !f.DiscoverUpstream && !f.PropagateDownstream && !f.PropagateUpstream {
			return nil, nil
		}
		return &f, nil
	}, nil
}

// external reports whether a route leaves the mesh.
func external(f *route.Forward) bool {
	return len(f.Clusters) == 1 && f.Clusters[0].Cluster.Name() == passthrough
}

func alpnFilter(m *alpnv3.FilterConfig) builder {
	var lists stream.ALPN
	for _, o := range m.GetAlpnOverride() {
		switch o.GetUpstreamProtocol() {
		case alpnv3.FilterConfig_HTTP11:
			lists.HTTP1 = o.GetAlpnOverride()
		case alpnv3.FilterConfig_HTTP2:
			lists.HTTP2 = o.GetAlpnOverride()
		}
	}
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		if override != nil || on.forward == nil || lists.HTTP1 == nil && lists.HTTP2 == nil {
			return nil, notForRoutes(override)
		}
		return &alpn.Filter{ALPN: lists}, nil
	}
}

func faultFilter(base *faultv3.HTTPFault) builder {
	return func(override proto.Message, on *spot) (stream.Filter, error) {
		m := base
		if override != nil {
			var err error
			if m, err = as[*faultv3.HTTPFault](override); err != nil {
				return nil, err
			}
		}
		f, err := faults(m)
		if err != nil || f == nil {
			return nil, err
		}
		if m.GetUpstreamCluster() != "" && (on.forward == nil || len(on.forward.Clusters) != 1 || on.forward.Clusters[0].Cluster.Name() != m.GetUpstreamCluster()) {
			return nil, nil
		}
		if len(m.GetHeaders()) > 0 {
			matches, err := headerMatches(m.GetHeaders(), "headers")
			if err != nil {
				return nil, err
			}
			f.Matches = allHold(matches)
		}
		return f, nil
	}
}

// faults reads what is to go wrong; nil is nothing.
func faults(m *faultv3.HTTPFault) (*fault.Filter, error) {
	delay, abort := m.GetDelay(), m.GetAbort()
	f := &fault.Filter{
		Delay: fault.Delay{Share: faultShare(delay.GetPercentage()), For: delay.GetFixedDelay().AsDuration(), ByRequest: delay.GetHeaderDelay() != nil},
		Abort: fault.Abort{Share: faultShare(abort.GetPercentage()), Status: int(abort.GetHttpStatus()), GRPC: int(abort.GetGrpcStatus()), ByRequest: abort.GetHeaderAbort() != nil},
	}
	if _, set := abort.GetErrorType().(*faultv3.FaultAbort_GrpcStatus); set && f.Abort.GRPC == 0 {
		return nil, fieldcheck.Refuse("abort.grpc_status", "0 is not a failure")
	}
	if f.Delay.PerMillion == 0 && f.Abort.PerMillion == 0 {
		return nil, nil
	}
	return f, nil
}

func faultShare(p *typev3.FractionalPercent) fault.Share {
	return fault.Share{PerMillion: perMillion(p), Step: perMillion(&typev3.FractionalPercent{Numerator: 1, Denominator: p.GetDenominator()})}
}
