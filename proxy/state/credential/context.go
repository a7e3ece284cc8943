package credential

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// common is what both ends' TLS contexts say.
type common struct {
	store *Store
	// fixed are the certificates given in place, names those by secret.
	fixed []tls.Certificate
	names []ads.Ref
	// trustName is the secret that says whom to trust; empty when rules or
	// nothing does.
	trustName ads.Ref
	// own is the validation context given in place; nil when there is none.
	own      *Material
	sans     []sanMatch
	accept   bool // ACCEPT_UNTRUSTED
	alpn     []string
	min, max uint16
	curves   []tls.CurveID
	suites   []uint16
}

// newCommon compiles a context. unspoken are protocols that must not be agreed on,
// because what they announce is not spoken.
func newCommon(store *Store, c *tlsv3.CommonTlsContext, unspoken []string) (*common, error) {
	out := &common{store: store, alpn: protocols(c.GetAlpnProtocols(), unspoken)}
	for i, cert := range c.GetTlsCertificates() {
		m, err := fromCertificate(cert)
		if err == nil && m.Certificate == nil {
			err = errors.New("has no certificate")
		}
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("tls_certificates[%d]", i), err)
		}
		out.fixed = append(out.fixed, *m.Certificate)
	}
	for i, s := range c.GetTlsCertificateSdsSecretConfigs() {
		name, err := store.Ref(s)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("tls_certificate_sds_secret_configs[%d]", i), err)
		}
		out.names = append(out.names, name)
	}
	if err := out.validation(c); err != nil {
		return nil, err
	}
	if err := out.parameters(c.GetTlsParams()); err != nil {
		return nil, fieldcheck.At("tls_params", err)
	}
	return out, nil
}

// protocols are the names in entries that each name one or, with commas between
// them, several, without those that are not spoken.
func protocols(entries, unspoken []string) []string {
	names := strings.Split(strings.Join(entries, ","), ",")
	return slices.DeleteFunc(names, func(p string) bool { return p == "" || slices.Contains(unspoken, p) })
}

func (c *common) validation(t *tlsv3.CommonTlsContext) error {
	rules, at := t.GetValidationContext(), "validation_context"
	secret, secretAt := t.GetValidationContextSdsSecretConfig(), "validation_context_sds_secret_config"
	if both := t.GetCombinedValidationContext(); both != nil {
		rules, at = both.GetDefaultValidationContext(), "combined_validation_context.default_validation_context"
		secret, secretAt = both.GetValidationContextSdsSecretConfig(), "combined_validation_context."+secretAt
	}
	var err error
	if c.trustName, err = c.store.Ref(secret); err != nil {
		return fieldcheck.At(secretAt, err)
	}
	if rules == nil {
		return nil
	}
	if c.own, err = fromValidation(rules); err != nil {
		return fieldcheck.At(at, err)
	}
	c.accept = rules.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	return fieldcheck.At(at, new(verifier).rules(c.own)) // that they can be read
}

var versions = map[tlsv3.TlsParameters_TlsProtocol]uint16{
	tlsv3.TlsParameters_TLS_AUTO: 0,
	tlsv3.TlsParameters_TLSv1_0:  tls.VersionTLS10,
	tlsv3.TlsParameters_TLSv1_1:  tls.VersionTLS11,
	tlsv3.TlsParameters_TLSv1_2:  tls.VersionTLS12,
	tlsv3.TlsParameters_TLSv1_3:  tls.VersionTLS13,
}

var curves = map[string]tls.CurveID{
	"P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521, "X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768,
}

func (c *common) parameters(p *tlsv3.TlsParameters) error {
	c.min, c.max = versions[p.GetTlsMinimumProtocolVersion()], versions[p.GetTlsMaximumProtocolVersion()]
	if c.min == 0 {
		c.min = tls.VersionTLS12
	}
	// P-256 first: its key generation is the cheapest, and hybrid key shares
	// do not fit into one packet.
	c.curves = []tls.CurveID{tls.CurveP256, tls.X25519, tls.CurveP384}
	if len(p.GetEcdhCurves()) > 0 {
		c.curves = nil
	}
	for i, name := range p.GetEcdhCurves() {
		id, ok := curves[name]
		if !ok {
			return fieldcheck.Refuse(fmt.Sprintf("ecdh_curves[%d]", i), "%q is not supported", name)
		}
		c.curves = append(c.curves, id)
	}
	var err error
	c.suites, err = cipherSuites(p.GetCipherSuites())
	return err
}

// secrets names the secrets that must be there before the context can serve.
func (c *common) secrets() []ads.Ref {
	all := slices.Clone(c.names)
	if c.trustName.Name != "" {
		all = append(all, c.trustName)
	}
	return all
}

// certificates are what to show now. Of several secrets those that are there
// serve.
func (c *common) certificates() ([]tls.Certificate, error) {
	certs := slices.Clone(c.fixed)
	missing := ""
	for _, name := range c.names {
		m, ok := c.store.Get(name)
		if !ok || m.Certificate == nil {
			missing = name.Name
			continue
		}
		certs = append(certs, *m.Certificate)
	}
	if len(certs) == 0 && missing != "" {
		return nil, fmt.Errorf("secret %q has not arrived or has no certificate", missing)
	}
	return certs, nil
}

// verifier is whom to trust now; nil when the peer is not checked.
func (c *common) verifier() (*verifier, error) {
	v := &verifier{depth: unbounded}
	if c.own != nil {
		v.roots, v.trust = c.own.Roots, c.own.Trust
		if err := v.rules(c.own); err != nil {
			return nil, err
		}
	}
	if c.trustName.Name != "" {
		m, ok := c.store.Get(c.trustName)
		if ok {
			v.roots, v.trust = m.Roots, m.Trust
			if err := v.rules(m); err != nil {
				return nil, err
			}
		}
		if v.roots == nil && v.pins.none() {
			return nil, fmt.Errorf("secret %q has not arrived or has no trusted_ca", c.trustName.Name)
		}
	}
	if c.accept {
		v.roots = nil
	}
	if v.ageless && v.roots != nil && len(v.trust) > 0 {
		v.roots = poolOf(v.trust, ageless)
	}
	if v.roots == nil && len(v.names) == 0 && v.pins.none() {
		return nil, nil
	}
	return v, nil
}

func (c *common) base() *tls.Config {
	return &tls.Config{
		MinVersion: c.min, MaxVersion: c.max, CurvePreferences: c.curves, CipherSuites: c.suites,
		DynamicRecordSizingDisabled: true,
	}
}
