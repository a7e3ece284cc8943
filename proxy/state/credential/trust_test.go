package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// signer is a certificate that signs others.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate below s, or the root when s is nil.
func (s *signer) sign(t *testing.T, serial int64, ca bool) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("c", serial)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: ca, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	by := s
	if s == nil {
		by = &signer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert, key}
}

// list is a revocation list of s in PEM.
func (s *signer) list(t *testing.T, next time.Duration, serials ...int64) string {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(next)}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, s.cert, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func inline(text string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}
}

// What a validation context asks of a chain: pins, and revocation lists of each issuer
// in it.
func TestPinsAndRevocation(t *testing.T) {
	root := (*signer)(nil).sign(t, 1, true)
	middle := root.sign(t, 2, true)
	leaf := middle.sign(t, 3, false)
	chain := []*x509.Certificate{leaf.cert, middle.cert}
	ca := inline(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw})))
	hash := func(der []byte) []byte { sum := sha256.Sum256(der); return sum[:] }
	own, key := fmt.Sprintf("%x", hash(leaf.cert.Raw)), base64.StdEncoding.EncodeToString(hash(leaf.cert.RawSubjectPublicKeyInfo))
	colons := strings.Trim(strings.ToUpper(fmt.Sprintf("% x", hash(leaf.cert.Raw))), " ")
	other := fmt.Sprintf("%x", hash(middle.cert.Raw))
	lists := func(texts ...string) *corev3.DataSource { return inline(strings.Join(texts, "")) }
	for _, c := range []struct {
		name  string
		rules *tlsv3.CertificateValidationContext
		wrong string
	}{
		{"the certificate's hash", &tlsv3.CertificateValidationContext{VerifyCertificateHash: []string{other, own}}, ""},
		{"the hash with colons", &tlsv3.CertificateValidationContext{VerifyCertificateHash: []string{strings.ReplaceAll(colons, " ", ":")}}, ""},
		{"the key's hash", &tlsv3.CertificateValidationContext{VerifyCertificateHash: []string{other}, VerifyCertificateSpki: []string{key}}, ""},
		{"another's hash", &tlsv3.CertificateValidationContext{TrustedCa: ca, VerifyCertificateHash: []string{other}}, "is not one of those that are expected"},
		{"no hash", &tlsv3.CertificateValidationContext{VerifyCertificateHash: []string{"12"}}, "verify_certificate_hash[0]"},
		{"no hash of a key", &tlsv3.CertificateValidationContext{VerifyCertificateSpki: []string{own}}, "verify_certificate_spki[0]"},
		{"nothing revoked", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(root.list(t, time.Hour, 9), middle.list(t, time.Hour))}, ""},
		{"the leaf is revoked", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(root.list(t, time.Hour), middle.list(t, time.Hour, 3))}, "certificate 3 is revoked"},
		{"its issuer is revoked", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(root.list(t, time.Hour, 2), middle.list(t, time.Hour))}, "certificate 2 is revoked"},
		{"its issuer is not asked about", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(middle.list(t, time.Hour)), OnlyVerifyLeafCertCrl: true}, ""},
		{"a list is missing", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(middle.list(t, time.Hour))}, "no revocation list of CN=c1"},
		{"a list is too old", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(root.list(t, -time.Hour), middle.list(t, time.Hour))}, "the revocation list of CN=c1 is too old"},
		{"a list that somebody else signed", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: lists(root.list(t, time.Hour), (&signer{middle.cert, leaf.key}).list(t, time.Hour))}, "no revocation list of CN=c2"},
		{"no list", &tlsv3.CertificateValidationContext{TrustedCa: ca, Crl: inline("text")}, "crl: holds no PEM revocation list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			context := &common{store: NewStore()}
			err := context.validation(&tlsv3.CommonTlsContext{ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: c.rules}})
			var v *verifier
			if err == nil {
				v, err = context.verifier()
			}
			for range 2 { // the second time from memory
				if err == nil {
					err = v.verify(chain)
				}
			}
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
		})
	}
}

// A chain may be as long as is said, an issuer always fits in, and certificates that
// have expired may be taken.
func TestDepthAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := (*signer)(nil).sign(t, 1, true)
		one := root.sign(t, 2, true)
		two := one.sign(t, 3, true)
		chains := map[string][]*x509.Certificate{"direct": {root.sign(t, 4, false).cert}, "one": {one.sign(t, 5, false).cert, one.cert}, "two": {two.sign(t, 6, false).cert, two.cert, one.cert}}
		fit := func(validation string) string {
			rules := &tlsv3.CertificateValidationContext{}
			if err := protojson.Unmarshal([]byte(validation), rules); err != nil {
				t.Fatal(err)
			}
			rules.TrustedCa = inline(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw})))
			c, err := newCommon(NewStore(), &tlsv3.CommonTlsContext{ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: rules}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.verifier()
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, name := range slices.Sorted(maps.Keys(chains)) {
				if v.verify(chains[name]) == nil {
					out = append(out, name)
				}
			}
			return strings.Join(out, " ")
		}
		for validation, want := range map[string]string{`{}`: "direct one two", `{"maxVerifyDepth": 0}`: "direct", `{"maxVerifyDepth": 1}`: "direct", `{"maxVerifyDepth": 2}`: "direct one", `{"maxVerifyDepth": 3}`: "direct one two"} {
			if got := fit(validation); got != want {
				t.Errorf("%s: got %q, want %q", validation, got, want)
			}
		}
		time.Sleep(2 * time.Hour)
		for validation, want := range map[string]string{`{}`: "", `{"allowExpiredCertificate": true}`: "direct one two", `{"allowExpiredCertificate": true, "maxVerifyDepth": 1}`: "direct"} {
			if got := fit(validation); got != want {
				t.Errorf("%s, expired: got %q, want %q", validation, got, want)
			}
		}
	})
}
