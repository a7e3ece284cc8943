package translate

import (
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

const (
	secretScheme = "kubernetes://"
	caSuffix     = "-cacert"
)

// credentials are the secrets that a server asks for: certificates, and the
// name under which its clients' CA is served.
func credentials(t *networking.ServerTLSSettings) (certs []string, ca string) {
	certs = t.GetCredentialNames()
	if t.GetCredentialName() != "" {
		certs = []string{t.GetCredentialName()}
	}
	switch {
	case t.GetCaCertCredentialName() != "":
		ca = t.GetCaCertCredentialName()
	case len(certs) > 0:
		ca = certs[0]
	}
	return certs, ca
}

// gatewayTLS ends TLS for a server's hosts.
func gatewayTLS(s *networking.Server, m *mesh.Config) *core.TransportSocket {
	t := s.GetTls()
	if t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return mutualServer(m, false)
	}
	common := &tls.CommonTlsContext{AlpnProtocols: []string{"h2", "http/1.1"}, TlsParams: gatewayTLSParams(t)}
	certs, ca := credentials(t)
	for _, name := range certs {
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, servedSecret(secretScheme+name))
	}
	if len(certs) == 0 {
		common.TlsCertificates = fileCertificates(t)
	}
	ctx := &tls.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: yes(false)}
	switch t.GetMode() {
	case networking.ServerTLSSettings_MUTUAL:
		ctx.RequireClientCertificate = yes(true)
		clientValidation(common, t, ca)
	case networking.ServerTLSSettings_OPTIONAL_MUTUAL:
		clientValidation(common, t, ca)
	}
	return serverSocket(ctx)
}

// clientValidation says which clients' certificates are good.
func clientValidation(common *tls.CommonTlsContext, t *networking.ServerTLSSettings, ca string) {
	v := &tls.CertificateValidationContext{
		MatchSubjectAltNames:  exactly(sorted(t.SubjectAltNames)), //nolint:staticcheck // what Istio's proxies are used to
		VerifyCertificateSpki: t.VerifyCertificateSpki,
		VerifyCertificateHash: t.VerifyCertificateHash,
	}
	if t.GetInsecureSkipVerify().GetValue() {
		v.TrustChainVerification = tls.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	if ca != "" {
		combined(common, v, servedSecret(secretScheme+ca+caSuffix))
		return
	}
	if t.CaCertificates != "" {
		v.TrustedCa = file(t.CaCertificates)
	}
	if t.CaCrl != "" {
		v.Crl = file(t.CaCrl)
	}
	common.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: v}
}

// fileCertificates are certificates in the gateway's own files.
func fileCertificates(t *networking.ServerTLSSettings) []*tls.TlsCertificate {
	var out []*tls.TlsCertificate
	for _, c := range t.GetTlsCertificates() {
		out = append(out, &tls.TlsCertificate{CertificateChain: file(c.ServerCertificate), PrivateKey: file(c.PrivateKey)})
	}
	if len(out) == 0 && t.GetServerCertificate() != "" {
		out = append(out, &tls.TlsCertificate{CertificateChain: file(t.ServerCertificate), PrivateKey: file(t.PrivateKey)})
	}
	return out
}

func gatewayTLSParams(t *networking.ServerTLSSettings) *tls.TlsParameters {
	p := serverTLS()
	if v, ok := tlsVersion[t.GetMinProtocolVersion()]; ok {
		p.TlsMinimumProtocolVersion = v
	}
	if v, ok := tlsVersion[t.GetMaxProtocolVersion()]; ok {
		p.TlsMaximumProtocolVersion = v
	}
	if len(t.GetCipherSuites()) > 0 {
		p.CipherSuites = t.GetCipherSuites()
	}
	return p
}

var tlsVersion = map[networking.ServerTLSSettings_TLSProtocol]tls.TlsParameters_TlsProtocol{
	networking.ServerTLSSettings_TLSV1_0: tls.TlsParameters_TLSv1_0,
	networking.ServerTLSSettings_TLSV1_1: tls.TlsParameters_TLSv1_1,
	networking.ServerTLSSettings_TLSV1_2: tls.TlsParameters_TLSv1_2,
	networking.ServerTLSSettings_TLSV1_3: tls.TlsParameters_TLSv1_3,
}

// GatewaySecret is a credential as a proxy gets it under the given name: the
// CA where the name ends in "-cacert", else the certificate and its key.
func GatewaySecret(name string, s mesh.Secret) *tls.Secret {
	out := &tls.Secret{Name: name}
	if strings.HasSuffix(name, caSuffix) {
		v := &tls.CertificateValidationContext{TrustedCa: inline(s.CA)}
		if len(s.CRL) > 0 {
			v.Crl = inline(s.CRL)
		}
		out.Type = &tls.Secret_ValidationContext{ValidationContext: v}
		return out
	}
	out.Type = &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{CertificateChain: inline(s.Cert), PrivateKey: inline(s.Key)}}
	return out
}

func inline(b []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
}
