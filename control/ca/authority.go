// Package ca is the mesh's certificate authority: it finds out who a caller is
// and signs short-lived certificates that say so.
//
// It stands beside the journey of a config change: workloads ask it by Istio's
// CSR API before they can take part, and again at half of each certificate's
// life. [Authority] signs and is pure; [Service] is its gRPC face; [Keeper]
// keeps the signing key in a Secret that all replicas share; [Publisher] puts
// the roots where workloads find them.
package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/lateenmesh/lateen/model"
)

// The lifetimes of workloads' certificates, as Istio sets them.
const (
	DefaultTTL = 24 * time.Hour
	MaxTTL     = 90 * 24 * time.Hour
	// clockSkew is how far a certificate's life begins in the past.
	clockSkew = 2 * time.Minute
)

// Authority signs certificates with one key. It is immutable.
type Authority struct {
	chain []*x509.Certificate // the signing certificate, then those between it and the root
	key   crypto.Signer
	roots []*x509.Certificate // all that the mesh trusts, the signer's own first
}

// NewAuthority reads PEM: the signing certificate and its key, the certificates
// between it and the root (may be empty), and the roots that the mesh trusts.
// Several roots are a rotation in progress. Empty roots mean that the signing
// certificate is itself the root.
func NewAuthority(cert, key, between, roots []byte) (*Authority, error) {
	chain, err := parseCertificates(cert)
	if err != nil || len(chain) == 0 {
		return nil, fmt.Errorf("read signing certificate: %w", cmpErr(err))
	}
	more, err := parseCertificates(between)
	if err != nil {
		return nil, fmt.Errorf("read certificate chain: %w", err)
	}
	for _, c := range more {
		if !slices.ContainsFunc(chain, c.Equal) {
			chain = append(chain, c)
		}
	}
	a := &Authority{chain: chain}
	if a.key, err = parseKey(key); err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	if !publicEqual(a.key.Public(), chain[0].PublicKey) {
		return nil, errors.New("the signing key is not the signing certificate's")
	}
	if !chain[0].IsCA {
		return nil, fmt.Errorf("certificate %q may not sign others: it is not a CA's", chain[0].Subject)
	}
	if a.roots, err = parseCertificates(roots); err != nil {
		return nil, fmt.Errorf("read root certificates: %w", err)
	}
	if len(a.roots) == 0 {
		a.roots = chain[len(chain)-1:]
	}
	return a, a.verify()
}

// verify checks that one of the roots vouches for the signing certificate.
func (a *Authority) verify() error {
	between := x509.NewCertPool()
	for _, c := range a.chain[1:] {
		between.AddCert(c)
	}
	_, err := a.chain[0].Verify(x509.VerifyOptions{
		Roots: a.Pool(), Intermediates: between, CurrentTime: a.chain[0].NotBefore.Add(time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("signing certificate %q: no root vouches for it: %w", a.chain[0].Subject, err)
	}
	return nil
}

// Roots is the trust bundle, PEM.
func (a *Authority) Roots() []byte {
	var out []byte
	for _, c := range a.roots {
		out = append(out, encode(c)...)
	}
	return out
}

// Pool is the trust bundle for verifying peers.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a.roots {
		pool.AddCert(c)
	}
	return pool
}

// Expiry is when the signing certificate and the first root end.
func (a *Authority) Expiry() (signing, root time.Time) {
	return a.chain[0].NotAfter, a.roots[0].NotAfter
}

// Subject is what a certificate says of its holder.
type Subject struct {
	Identity model.Identity
	DNS      []string      // for a server that is called by name
	TTL      time.Duration // 0 is [DefaultTTL]
}

// SignCSR signs a certificate for the public key in a PEM certificate request.
// Everything else in the request is ignored: who the holder is, the caller has
// found out by itself. It returns PEM, one certificate per element: the leaf
// first, then those between, and last the roots.
func (a *Authority) SignCSR(csr []byte, s Subject, now time.Time) ([]string, error) {
	block, _ := pem.Decode(csr)
	if block == nil {
		return nil, requestError("the request is not PEM")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, requestError("parse certificate request: " + err.Error())
	}
	if err := req.CheckSignature(); err != nil {
		return nil, requestError("check certificate request: " + err.Error())
	}
	return a.Sign(req.PublicKey, s, now)
}

// Sign is like [Authority.SignCSR] for a bare public key.
func (a *Authority) Sign(key crypto.PublicKey, s Subject, now time.Time) ([]string, error) {
	if err := strongEnough(key); err != nil {
		return nil, err
	}
	template, err := a.template(s, now)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.chain[0], key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %s: %w", s.Identity, err)
	}
	out := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	for _, c := range a.chain {
		if !slices.ContainsFunc(a.roots, c.Equal) {
			out = append(out, string(encode(c)))
		}
	}
	return append(out, string(a.Roots())), nil
}

func (a *Authority) template(s Subject, now time.Time) (*x509.Certificate, error) {
	ttl := s.TTL
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	if ttl > MaxTTL {
		return nil, requestError(fmt.Sprintf("requested lifetime %v is longer than the %v that is allowed", ttl, MaxTTL))
	}
	end := now.Add(ttl)
	if signer := a.chain[0].NotAfter; end.After(signer) {
		end = signer // a certificate does not outlive its issuer
	}
	if !end.After(now) {
		return nil, fmt.Errorf("the signing certificate ended at %v: rotate it", a.chain[0].NotAfter)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-clockSkew), NotAfter: end,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              s.DNS,
	}
	if !s.Identity.IsZero() {
		uri, err := url.Parse(s.Identity.String())
		if err != nil {
			return nil, fmt.Errorf("identity %q is no URI: %w", s.Identity, err)
		}
		t.URIs = []*url.URL{uri}
	}
	return t, nil
}

// SelfSigned makes a new root: a P-256 key and a certificate for it, PEM.
func SelfSigned(organization string, life time.Duration, now time.Time) (cert, key []byte, err error) {
	signer, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("draw a serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{organization}},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, signer.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("sign root certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM, nil
}

// requestError is a mistake of the caller's.
type requestError string

func (e requestError) Error() string { return string(e) }

// strongEnough refuses keys that nobody should use.
func strongEnough(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return requestError(fmt.Sprintf("RSA key of %d bits is too short: want 2048", k.N.BitLen()))
		}
		return nil
	}
	return requestError(fmt.Sprintf("key of type %T is not supported: want ECDSA, RSA or Ed25519", key))
}

func publicEqual(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func encode(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("not PEM")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("there is none")
	}
	return err
}
