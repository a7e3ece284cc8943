package credential

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
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
	pins  pins
	crls  []*x509.RevocationList // none asks nothing
	leaf  bool                   // the lists are for the leaf only
	// depth is how many certificates may stand above the leaf, its issuer in any
	// case, or unbounded.
	depth   int
	ageless bool                // certificates hold at any time
	trust   []*x509.Certificate // those of roots, empty where they are the system's

	mu    sync.Mutex // guards known
	known map[[sha256.Size]byte]time.Time
}

// unbounded is the depth of any chain.
const unbounded = math.MaxInt

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
	if err := v.pins.check(chain[0]); err != nil {
		return err
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
	built, err := v.build(chain, now)
	if err != nil {
		return err
	}
	until, err = v.current(built, now)
	if err != nil {
		return err
	}
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

// build finds the chains from a leaf to roots, with what was shown beside it, that are
// not too long.
func (v *verifier) build(shown []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	as := asIs
	if v.ageless {
		as = ageless
	}
	built, err := as(shown[0]).Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: poolOf(shown[1:], as), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, err
	}
	built = slices.DeleteFunc(built, func(chain []*x509.Certificate) bool { return len(chain)-1 > v.depth })
	if len(built) == 0 {
		return nil, fmt.Errorf("the peer's chain is longer than max_verify_depth allows: %d certificates may stand above its own", v.depth)
	}
	return built, nil
}

// poolOf holds certificates as a function gives them.
func poolOf(certs []*x509.Certificate, as func(*x509.Certificate) *x509.Certificate) *x509.CertPool {
	out := x509.NewCertPool()
	for _, c := range certs {
		out.AddCert(as(c))
	}
	return out
}

func asIs(c *x509.Certificate) *x509.Certificate { return c }

// ageless is a certificate that holds at any time. What was signed stays as it was.
func ageless(c *x509.Certificate) *x509.Certificate {
	always := *c
	always.NotBefore, always.NotAfter = time.Time{}, time.Now().AddDate(1000, 0, 0)
	return &always
}

// current looks for a chain in which nothing is revoked, and tells until when what
// the lists say holds.
func (v *verifier) current(chains [][]*x509.Certificate, now time.Time) (until time.Time, err error) {
	for _, chain := range chains {
		if until, err = v.unrevoked(chain, now); err == nil {
			return until, nil
		}
	}
	return until, err
}

// unrevoked asks the list of each certificate's issuer: there must be one, and it
// must not be too old.
func (v *verifier) unrevoked(chain []*x509.Certificate, now time.Time) (time.Time, error) {
	until := chain[0].NotAfter
	if len(v.crls) == 0 {
		return until, nil
	}
	for i, c := range chain[:len(chain)-1] {
		if i > 0 && v.leaf {
			break
		}
		list := v.listOf(chain[i+1])
		if list == nil {
			return until, fmt.Errorf("no revocation list of %s is at hand, and there is one of others", chain[i+1].Subject)
		}
		if !list.NextUpdate.IsZero() {
			if now.After(list.NextUpdate) {
				return until, fmt.Errorf("the revocation list of %s is too old", chain[i+1].Subject)
			}
			if list.NextUpdate.Before(until) {
				until = list.NextUpdate
			}
		}
		for _, r := range list.RevokedCertificateEntries {
			if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return until, fmt.Errorf("the certificate %s is revoked", c.SerialNumber)
			}
		}
	}
	return until, nil
}

func (v *verifier) listOf(issuer *x509.Certificate) *x509.RevocationList {
	for _, l := range v.crls {
		if bytes.Equal(l.RawIssuer, issuer.RawSubject) && l.CheckSignatureFrom(issuer) == nil {
			return l
		}
	}
	return nil
}

// pins are the only certificates, or keys, that are accepted, by their SHA-256 hashes;
// none asks nothing.
type pins struct{ certificates, keys map[[sha256.Size]byte]bool }

func (p pins) none() bool { return len(p.certificates)+len(p.keys) == 0 }

func (p pins) check(leaf *x509.Certificate) error {
	if p.none() || p.certificates[sha256.Sum256(leaf.Raw)] || p.keys[sha256.Sum256(leaf.RawSubjectPublicKeyInfo)] {
		return nil
	}
	return errors.New("the peer's certificate is not one of those that are expected here")
}

// pinned compiles the hashes that a validation context accepts.
func pinned(v *tlsv3.CertificateValidationContext) (pins, error) {
	out := pins{map[[sha256.Size]byte]bool{}, map[[sha256.Size]byte]bool{}}
	for i, text := range v.GetVerifyCertificateHash() {
		sum, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		if err != nil || len(sum) != sha256.Size {
			return out, fieldcheck.Refuse(fmt.Sprintf("verify_certificate_hash[%d]", i), "%q is not a SHA-256 hash in hex", text)
		}
		out.certificates[[sha256.Size]byte(sum)] = true
	}
	for i, text := range v.GetVerifyCertificateSpki() {
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			return out, fieldcheck.Refuse(fmt.Sprintf("verify_certificate_spki[%d]", i), "%q is not a SHA-256 hash in base64", text)
		}
		out.keys[[sha256.Size]byte(sum)] = true
	}
	return out, nil
}

// rules takes over what a validation context asks beside chaining to roots.
func (v *verifier) rules(m *Material) error {
	names, err := sanMatches(m.Rules)
	if err != nil {
		return err
	}
	more, err := pinned(m.Rules)
	if err != nil {
		return err
	}
	v.names = append(v.names, names...)
	if v.pins.certificates == nil {
		v.pins = pins{map[[sha256.Size]byte]bool{}, map[[sha256.Size]byte]bool{}}
	}
	maps.Copy(v.pins.certificates, more.certificates)
	maps.Copy(v.pins.keys, more.keys)
	v.crls = append(v.crls, m.Revoked...)
	v.leaf = v.leaf || m.Rules.GetOnlyVerifyLeafCertCrl()
	v.ageless = v.ageless || m.Rules.GetAllowExpiredCertificate()
	if d := m.Rules.GetMaxVerifyDepth(); d != nil {
		v.depth = max(1, int(d.GetValue()))
	}
	return nil
}

// revoked reads revocation lists in PEM.
func revoked(text []byte) (lists []*x509.RevocationList, err error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	if len(lists) == 0 && len(text) > 0 {
		return nil, errors.New("holds no PEM revocation list")
	}
	return lists, nil
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
