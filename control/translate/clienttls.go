package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	raw "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/model"
)

const tlsSocket = "envoy.transport_sockets.tls"

// clientTLS decides how connections to the cluster are secured: as the rule
// says; else automatically, mutual TLS to every endpoint that has a proxy.
func (b *clusterBuild) clientTLS(in ServiceInput, port model.Port, subset string, t *networking.ClientTLSSettings) {
	c := b.cluster
	switch {
	case t == nil:
		if auto := in.Mesh.GetEnableAutoMtls(); (auto == nil || auto.Value) && !in.Service.External {
			b.autoMTLS(in, port, subset)
		}
	case t.Mode == networking.ClientTLSSettings_ISTIO_MUTUAL:
		c.TransportSocket = clientSocket(b.mutual(in, port, subset, t))
		b.metadataExchange(in.Istio)
	case t.Mode == networking.ClientTLSSettings_SIMPLE, t.Mode == networking.ClientTLSSettings_MUTUAL:
		c.TransportSocket = clientSocket(b.userTLS(in.Service, t))
	}
}

// autoMTLS lets each endpoint's metadata choose between mutual TLS and none.
func (b *clusterBuild) autoMTLS(in ServiceInput, port model.Port, subset string) {
	b.cluster.TransportSocketMatches = []*cluster.Cluster_TransportSocketMatch{
		{
			Name:            "tlsMode-istio",
			Match:           &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": text("istio")}},
			TransportSocket: clientSocket(b.mutual(in, port, subset, nil)),
		},
		{
			Name:            "tlsMode-disabled",
			Match:           &structpb.Struct{},
			TransportSocket: plainSocket(),
		},
	}
	b.metadataExchange(in.Istio)
}

func plainSocket() *core.TransportSocket {
	return &core.TransportSocket{Name: "envoy.transport_sockets.raw_buffer", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(&raw.RawBuffer{})}}
}

// proxyProtocol has connections begin with a PROXY header, before whatever secures
// them.
func (b *clusterBuild) proxyProtocol(p *networking.TrafficPolicy_ProxyProtocol) {
	if p == nil {
		return
	}
	version := core.ProxyProtocolConfig_V1
	if p.GetVersion() == networking.TrafficPolicy_ProxyProtocol_V2 {
		version = core.ProxyProtocolConfig_V2
	}
	behind := func(s *core.TransportSocket) *core.TransportSocket {
		return &core.TransportSocket{Name: "envoy.transport_sockets.upstream_proxy_protocol", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(
			&proxyprotocol.ProxyProtocolUpstreamTransport{Config: &core.ProxyProtocolConfig{Version: version}, TransportSocket: s},
		)}}
	}
	c := b.cluster
	for _, m := range c.TransportSocketMatches {
		m.TransportSocket = behind(m.TransportSocket)
	}
	switch {
	case c.TransportSocket != nil:
		c.TransportSocket = behind(c.TransportSocket)
	case len(c.TransportSocketMatches) == 0:
		c.TransportSocket = behind(plainSocket())
	}
}

// mutual is the mesh's own mutual TLS. The server must show one of the
// service's identities.
func (b *clusterBuild) mutual(in ServiceInput, port model.Port, subset string, t *networking.ClientTLSSettings) *tls.UpstreamTlsContext {
	sans := t.GetSubjectAltNames()
	if len(sans) == 0 {
		sans = append(append([]string(nil), in.Accounts...), in.Service.SubjectAltNames...)
	}
	sni := t.GetSni()
	if sni == "" {
		sni = OutboundSNI(port.Number, subset, in.Service.Host)
	}
	alpn := []string{"istio-peer-exchange", "istio"}
	if port.Protocol.IsHTTP2() || b.http.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil {
		alpn = append(alpn, "h2")
	}
	return &tls.UpstreamTlsContext{
		Sni: sni,
		CommonTlsContext: &tls.CommonTlsContext{
			AlpnProtocols:                  alpn,
			TlsParams:                      tlsVersions(),
			TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{workloadSecret("default")},
			ValidationContextType: &tls.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         &tls.CertificateValidationContext{MatchSubjectAltNames: exactly(sorted(sans))}, //nolint:staticcheck // what Istio's proxies are used to
					ValidationContextSdsSecretConfig: workloadSecret("ROOTCA"),
				}},
		},
	}
}

// userTLS is TLS as a rule's author configured it, with files of the proxy or
// a credential that the control plane serves.
func (b *clusterBuild) userTLS(s *model.Service, t *networking.ClientTLSSettings) *tls.UpstreamTlsContext {
	common := &tls.CommonTlsContext{TlsParams: tlsVersions()}
	sans := t.SubjectAltNames
	if len(sans) == 0 {
		sans = s.SubjectAltNames
	}
	validation := &tls.CertificateValidationContext{MatchSubjectAltNames: exactly(sorted(sans))} //nolint:staticcheck // as above
	if t.GetInsecureSkipVerify().GetValue() {
		validation.TrustChainVerification = tls.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	if t.CaCrl != "" && t.CredentialName == "" {
		validation.Crl = file(t.CaCrl)
	}
	mutual := t.Mode == networking.ClientTLSSettings_MUTUAL
	switch {
	case t.CredentialName != "":
		combined(common, validation, servedSecret("kubernetes://"+t.CredentialName+"-cacert"))
		if mutual {
			common.TlsCertificateSdsSecretConfigs = []*tls.SdsSecretConfig{servedSecret("kubernetes://" + t.CredentialName)}
		}
	default:
		switch {
		case t.CaCertificates != "":
			validation.TrustedCa = file(t.CaCertificates)
		case !t.GetInsecureSkipVerify().GetValue():
			validation.SystemRootCerts = &tls.CertificateValidationContext_SystemRootCerts{}
		}
		common.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: validation}
		if mutual {
			common.TlsCertificates = []*tls.TlsCertificate{{CertificateChain: file(t.ClientCertificate), PrivateKey: file(t.PrivateKey)}}
		}
	}
	if b.http.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil {
		common.AlpnProtocols = []string{"h2"}
	}
	if t.Sni == "" {
		b.http.UpstreamHttpProtocolOptions = &core.UpstreamHttpProtocolOptions{AutoSni: true,
			AutoSanValidation: len(sans) == 0 && !t.GetInsecureSkipVerify().GetValue()}
		b.set = true
	}
	alpnOverrideOff(b.cluster)
	return &tls.UpstreamTlsContext{Sni: t.Sni, CommonTlsContext: common}
}

// alpnOverrideOff keeps the ALPN filter from offering the mesh's protocols to
// a server that is not of the mesh.
func alpnOverrideOff(c *cluster.Cluster) {
	c.Metadata.FilterMetadata["istio"].Fields["alpn_override"] = text("false")
}

func clientSocket(ctx *tls.UpstreamTlsContext) *core.TransportSocket {
	return &core.TransportSocket{Name: tlsSocket, ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(ctx)}}
}

// exactly matches each name as it is; an empty list matches anything.
func exactly(names []string) []*matcher.StringMatcher {
	var out []*matcher.StringMatcher
	for _, n := range names {
		out = append(out, &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: n}})
	}
	return out
}

func file(path string) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_Filename{Filename: path}}
}

func tlsVersions() *tls.TlsParameters {
	return &tls.TlsParameters{TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2, TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3}
}

func combined(common *tls.CommonTlsContext, base *tls.CertificateValidationContext, secret *tls.SdsSecretConfig) {
	common.ValidationContextType = &tls.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext: base, ValidationContextSdsSecretConfig: secret}}
}

// servedSecret comes from the control plane.
func servedSecret(name string) *tls.SdsSecretConfig {
	return &tls.SdsSecretConfig{Name: name, SdsConfig: adsSource()}
}

// workloadSecret comes from the proxy's own agent: the workload's certificate
// and the mesh's roots.
func workloadSecret(name string) *tls.SdsSecretConfig {
	return &tls.SdsSecretConfig{Name: name, SdsConfig: &core.ConfigSource{
		ConfigSourceSpecifier: &core.ConfigSource_ApiConfigSource{ApiConfigSource: &core.ApiConfigSource{
			ApiType:                   core.ApiConfigSource_GRPC,
			SetNodeOnFirstMessageOnly: true,
			TransportApiVersion:       core.ApiVersion_V3,
			GrpcServices: []*core.GrpcService{{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"}}}},
		}},
		InitialFetchTimeout: seconds(0),
		ResourceApiVersion:  core.ApiVersion_V3,
	}}
}
