package translate

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// The application protocols by which the mesh's own callers are known.
var (
	meshHTTP = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	meshTCP  = []string{"istio", peerExchange}
	meshAny  = append(append([]string{}, meshTCP...), meshHTTP...)
)

// inboundTraffic is the traffic of one port, or of all others (port 0).
type inboundTraffic struct {
	audience       Audience
	port           uint32
	protocol       model.Protocol
	name, httpName string // of the filter chains
	cluster        string
	host           string // the virtual host's name
	operation      string
	policy         *networking.TrafficPolicy
}

// wants is one row of the table below: which connections a chain takes, and
// whether it reads requests and ends TLS.
type wants struct {
	transport string
	alpn      []string
	http      bool
	mutual    bool
}

// inboundChains are the chains of a port, by what it speaks and which TLS it
// accepts. "Mutual" chains end the mesh's TLS; other TLS is carried unread.
func inboundChains(t inboundTraffic, mode mesh.MTLS) []*listener.FilterChain {
	var rows []wants
	switch kind := t.protocol; {
	case kind.IsHTTP():
		rows = map[mesh.MTLS][]wants{
			mesh.Strict:     {{transport: "tls", http: true, mutual: true}},
			mesh.Permissive: {{transport: "tls", alpn: meshAny, http: true, mutual: true}, {transport: rawBuffer, http: true}},
			mesh.Disable:    {{transport: rawBuffer, http: true}},
		}[mode]
	case sniffed(kind):
		rows = map[mesh.MTLS][]wants{
			mesh.Strict: {{transport: "tls", alpn: meshHTTP, http: true, mutual: true}, {transport: "tls", mutual: true}},
			mesh.Permissive: {{transport: "tls", alpn: meshHTTP, http: true, mutual: true}, {transport: rawBuffer, alpn: plainHTTP, http: true},
				{transport: "tls", alpn: meshTCP, mutual: true}, {transport: rawBuffer}, {transport: "tls"}},
			mesh.Disable: {{transport: rawBuffer, alpn: plainHTTP, http: true}, {transport: rawBuffer}},
		}[mode]
	default:
		rows = map[mesh.MTLS][]wants{
			mesh.Strict:     {{transport: "tls", mutual: true}},
			mesh.Permissive: {{transport: "tls", alpn: meshAny, mutual: true}, {transport: "tls"}, {transport: rawBuffer}},
			mesh.Disable:    {{transport: rawBuffer}},
		}[mode]
	}
	var out []*listener.FilterChain
	for _, w := range rows {
		out = append(out, t.chain(w))
	}
	return out
}

// chain builds one row.
func (t inboundTraffic) chain(w wants) *listener.FilterChain {
	c := &listener.FilterChain{
		Name:             t.name,
		FilterChainMatch: &listener.FilterChainMatch{TransportProtocol: w.transport, ApplicationProtocols: w.alpn},
		Filters:          exchangeDownstream(t.audience),
	}
	if t.port != 0 {
		c.FilterChainMatch.DestinationPort = u32(t.port)
	}
	if w.mutual {
		c.TransportSocket = mutualServer(t.audience.Mesh, !w.http)
		c.TransportSocketConnectTimeout = seconds(15)
	}
	if w.http {
		c.Name = t.httpName
		prefix := "inbound_" + t.name
		if t.port == 0 {
			prefix = "inbound_0.0.0.0_0"
		}
		c.Filters = append(c.Filters, httpManager(httpInput{Audience: t.audience, Side: inbound, StatPrefix: prefix, Route: t.route()}))
		return c
	}
	c.Filters = append(c.Filters, connectionStats(t.audience, inbound)...)
	c.Filters = append(c.Filters, tcpProxy(t.audience.Mesh, t.cluster, t.policy))
	return c
}

// mutualServer ends the mesh's mutual TLS: callers must show an identity of
// our trust domain or an alias of it.
func mutualServer(m *mesh.Config, bytes bool) *core.TransportSocket {
	alpn := []string{"h2", "http/1.1"}
	if bytes {
		alpn = append([]string{peerExchange}, alpn...)
	}
	trust := &tls.CertificateValidationContext{}
	domain := m.GetTrustDomain()
	if domain == "" {
		domain = "cluster.local"
	}
	for _, d := range append([]string{domain}, m.GetTrustDomainAliases()...) {
		trust.MatchSubjectAltNames = append(trust.MatchSubjectAltNames, //nolint:staticcheck // what Istio's proxies are used to
			&matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "spiffe://" + d + "/"}})
	}
	common := &tls.CommonTlsContext{
		AlpnProtocols:                  alpn,
		TlsParams:                      serverTLS(),
		TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{workloadSecret("default")},
	}
	combined(common, trust, workloadSecret("ROOTCA"))
	return serverSocket(&tls.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: yes(true)})
}

func serverSocket(ctx *tls.DownstreamTlsContext) *core.TransportSocket {
	return &core.TransportSocket{Name: tlsSocket, ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(ctx)}}
}

// serverTLS are the versions and ciphers that servers accept; ciphers concern
// TLS 1.2 only.
func serverTLS() *tls.TlsParameters {
	p := tlsVersions()
	p.CipherSuites = []string{"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"}
	return p
}
