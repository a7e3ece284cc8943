package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// link is a certificate that may sign the next one.
type link struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// below makes a certificate that l has signed, or a root when l is nil. It ends when it
// is told to.
func (l *link) below(t *testing.T, name string, ends time.Duration) *link {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(ends),
		IsCA: name != "leaf", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	by := l
	if l == nil {
		by = &link{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &link{cert, key}
}

func (l *link) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.cert.Raw}))
}

// shown is what a client proves itself with: a leaf and what is between it and a root.
func shown(leaf *link, between ...*link) *tls.Certificate {
	out := &tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}
	for _, l := range between {
		out.Certificate = append(out.Certificate, l.cert.Raw)
	}
	return out
}

// How long a client's chain may be and whether it may have expired are what Envoy makes
// of them; require_sni has no effect on either.
func TestClientsChainsAsEnvoyChecksThem(t *testing.T) {
	const live, dead = time.Hour, -time.Hour
	root, past := (*link)(nil).below(t, "root", live), (*link)(nil).below(t, "past", dead)
	one := root.below(t, "one", live)
	two := one.below(t, "two", live)
	old := root.below(t, "old", dead)
	clients := map[string]*tls.Certificate{
		"direct": shown(root.below(t, "leaf", live)), "one between": shown(one.below(t, "leaf", live), one), "two between": shown(two.below(t, "leaf", live), two, one),
		"expired": shown(root.below(t, "leaf", dead)), "expired between": shown(old.below(t, "leaf", live), old), "expired root": shown(past.below(t, "leaf", live)), "of nobody": shown((*link)(nil).below(t, "leaf", live)),
	}
	server := newAuthority(t).issue(t, "server")
	inline := func(text string) string {
		return fmt.Sprintf("{inline_string: %q}", text)
	}
	for name, c := range map[string]struct{ context, trust, validation string }{
		"any depth":      {"", root.pem(), ""},
		"depth 0":        {"", root.pem(), ", max_verify_depth: 0"},
		"depth 1":        {"", root.pem(), ", max_verify_depth: 1"},
		"depth 2":        {"", root.pem(), ", max_verify_depth: 2"},
		"between, 0":     {"", one.pem(), ", max_verify_depth: 0"},
		"between, 1":     {"", one.pem(), ", max_verify_depth: 1"},
		"both, 1":        {"", one.pem() + root.pem(), ", max_verify_depth: 1"},
		"expired":        {"", root.pem() + past.pem(), ", allow_expired_certificate: true"},
		"not expired":    {"", root.pem() + past.pem(), ", allow_expired_certificate: false"},
		"who is named":   {"require_sni: true", root.pem(), ""},
		"who need not":   {"require_sni: false", root.pem(), ""},
		"expired, depth": {"", root.pem() + past.pem(), ", allow_expired_certificate: true, max_verify_depth: 0"},
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, func(name string, run runner) map[string]string {
				p := start(t, name, run, func(p *peer) string {
					return static(web{
						name: "web", address: p.address, routes: "- {match: {prefix: /}, direct_response: {status: 200}}",
						chain: fmt.Sprintf(`
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    require_client_certificate: true
    %s
    common_tls_context:
      validation_context: {trusted_ca: %s%s}
      tls_certificates: [{certificate_chain: %s, private_key: %s}]`, c.context, inline(c.trust), c.validation, inline(server.chain), inline(server.key)),
					}.String(), "")
				})
				out := map[string]string{}
				for who, cert := range clients {
					for _, sni := range []string{"", "server.example"} {
						out[strings.TrimSpace(who+" "+sni)] = asked(p.address, sni, cert)
					}
				}
				return out
			})
		})
	}
}

// asked tells how a request ends whose client proves itself with a certificate.
func asked(address, sni string, cert *tls.Certificate) string {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: sni, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
	resp, err := c.Get("https://" + address + "/")
	if err != nil {
		return "refused"
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.Status
}
