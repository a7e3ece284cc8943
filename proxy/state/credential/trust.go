package credential

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
)

// trust reads a PEM bundle into the secret.
func (m *Material) trust(bundle []byte) error {
	m.Roots = x509.NewCertPool()
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		m.Trust = append(m.Trust, cert)
		m.Roots.AddCert(cert)
	}
	if len(m.Trust) == 0 {
		return errors.New("holds no PEM certificate")
	}
	return nil
}

// verifier checks a peer's chain against roots and rules. Verdicts on chains
// are remembered by leaf, for chain building is most of a handshake's work;
// rules are checked each time.
type verifier struct {
	roots *x509.CertPool // nil trusts any chain
	names []sanMatch     // one must match; none asks nothing

	mu    sync.Mutex // guards known
	known map[[sha256.Size]byte]time.Time
}

// remembered bounds the verdicts that a verifier keeps.
const remembered = 4096

func (v *verifier) verify(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the peer showed no certificate")
	}
	if v.roots != nil {
		if err := v.chains(chain); err != nil {
			return err
		}
	}
	return v.named(chain[0])
}

func (v *verifier) chains(chain []*x509.Certificate) error {
	sum := sha256.New()
	for _, c := range chain {
		sum.Write(c.Raw)
	}
	var key [sha256.Size]byte
	sum.Sum(key[:0])
	now := time.Now()
	v.mu.Lock()
	until, fine := v.known[key]
	v.mu.Unlock()
	if fine && now.Before(until) {
		return nil
	}
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	built, err := chain[0].Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: rest, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	until = chain[0].NotAfter
	for _, c := range built[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= remembered || v.known == nil {
		v.known = map[[sha256.Size]byte]time.Time{}
	}
	v.known[key] = until
	return nil
}

func (v *verifier) named(leaf *x509.Certificate) error {
	if len(v.names) == 0 {
		return nil
	}
	for _, m := range v.names {
		if m.matches(leaf) {
			return nil
		}
	}
	return fmt.Errorf("the peer's certificate is for %v, which is not whom we expect here", sans(leaf))
}

func sans(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// sanMatch is one accepted subject alternative name.
type sanMatch struct {
	kind  tlsv3.SubjectAltNameMatcher_SanType // SAN_TYPE_UNSPECIFIED is any
	match func(string) bool
}

func (m sanMatch) matches(c *x509.Certificate) bool {
	kind := func(k tlsv3.SubjectAltNameMatcher_SanType) bool {
		return m.kind == k || m.kind == tlsv3.SubjectAltNameMatcher_SAN_TYPE_UNSPECIFIED
	}
	if kind(tlsv3.SubjectAltNameMatcher_URI) {
		for _, u := range c.URIs {
			if m.match(u.String()) {
				return true
			}
		}
	}
	if kind(tlsv3.SubjectAltNameMatcher_DNS) {
		for _, n := range c.DNSNames {
			if m.match(n) {
				return true
			}
		}
	}
	if kind(tlsv3.SubjectAltNameMatcher_IP_ADDRESS) {
		for _, ip := range c.IPAddresses {
			if m.match(ip.String()) {
				return true
			}
		}
	}
	return false
}

// sanMatches compiles the names that a validation context accepts.
func sanMatches(v *tlsv3.CertificateValidationContext) ([]sanMatch, error) {
	var all []sanMatch
	for i, t := range v.GetMatchTypedSubjectAltNames() {
		match, err := StringMatch(t.GetMatcher())
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("match_typed_subject_alt_names[%d].matcher", i), err)
		}
		switch t.GetSanType() {
		case tlsv3.SubjectAltNameMatcher_URI, tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_IP_ADDRESS:
		default:
			return nil, fieldcheck.Refuse(fmt.Sprintf("match_typed_subject_alt_names[%d].san_type", i), "%s is not supported, write URI, DNS or IP_ADDRESS", t.GetSanType())
		}
		all = append(all, sanMatch{t.GetSanType(), match})
	}
	//nolint:staticcheck // istiod still writes the untyped form
	for i, m := range v.GetMatchSubjectAltNames() {
		match, err := StringMatch(m)
		if err != nil {
			return nil, fieldcheck.At(fmt.Sprintf("match_subject_alt_names[%d]", i), err)
		}
		all = append(all, sanMatch{tlsv3.SubjectAltNameMatcher_SAN_TYPE_UNSPECIFIED, match})
	}
	return all, nil
}
