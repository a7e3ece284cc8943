package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/model"
)

var (
	now  = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	cart = model.Identity{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "cart"}
)

func selfSigned(t *testing.T, life time.Duration) *Authority {
	t.Helper()
	cert, key, err := SelfSigned("cluster.local", life, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthority(cert, key, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// csr asks for a name that the caller has no right to.
func csr(t *testing.T, key any) []byte {
	t.Helper()
	evil, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "evil"}, DNSNames: []string{"evil.com"}, URIs: []*url.URL{evil},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leafOf(t *testing.T, chain []string) *x509.Certificate {
	t.Helper()
	certs, err := parseCertificates([]byte(chain[0]))
	if err != nil || len(certs) != 1 {
		t.Fatalf("the first element holds %d certificates, %v; want the leaf", len(certs), err)
	}
	return certs[0]
}

// A certificate names its holder as the caller was found to be, whatever the
// request says, and lives for a day.
func TestSignCSR(t *testing.T) {
	a := selfSigned(t, rootLife)
	chain, err := a.SignCSR(csr(t, p256(t)), Subject{Identity: cart}, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, chain)
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/shop/sa/cart" || len(leaf.DNSNames) != 0 || leaf.Subject.String() != "" {
		t.Errorf("leaf is for %v %v %q, want only the caller's SPIFFE ID", leaf.URIs, leaf.DNSNames, leaf.Subject)
	}
	if got := leaf.NotAfter.Sub(now); got != 24*time.Hour {
		t.Errorf("leaf lives %v, want 24h", got)
	}
	if len(chain) != 2 || chain[1] != string(a.Roots()) || !strings.HasSuffix(chain[0], "\n") {
		t.Errorf("chain of %d does not end with the root", len(chain))
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("no short RSA keys here:", err)
	}
	a := selfSigned(t, time.Hour)
	for _, c := range []struct {
		name string
		csr  []byte
		ttl  time.Duration
		now  time.Time
		want string
	}{
		{"a short key", csr(t, weak), 0, now, "too short"},
		{"a long life", csr(t, p256(t)), MaxTTL + 1, now, "longer than"},
		{"no PEM", []byte("x"), 0, now, "not PEM"},
		{"an ended authority", csr(t, p256(t)), 0, now.Add(2 * time.Hour), "rotate"},
	} {
		if _, err := a.SignCSR(c.csr, Subject{Identity: cart, TTL: c.ttl}, c.now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	chain, err := a.SignCSR(csr(t, p256(t)), Subject{Identity: cart}, now)
	if err != nil {
		t.Fatal(err)
	}
	if leaf := leafOf(t, chain); !leaf.NotAfter.Equal(now.Add(time.Hour)) {
		t.Errorf("leaf ends at %v, want with its issuer", leaf.NotAfter)
	}
}

// An intermediate signs; its chain is sent along, the root comes last.
func TestPluggedIn(t *testing.T) {
	rootPEM, rootKey, _ := SelfSigned("root", rootLife, now)
	root, err := NewAuthority(rootPEM, rootKey, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, keyPEM, _ := newKey()
	template := *root.chain[0]
	template.Subject.Organization = []string{"intermediate"}
	template.NotAfter = now.Add(time.Hour * 24 * 365)
	der, err := x509.CreateCertificate(rand.Reader, &template, root.chain[0], signer.Public(), root.key)
	if err != nil {
		t.Fatal(err)
	}
	between := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a, err := plugged(map[string][]byte{keyCert: between, keyKey: keyPEM, keyRoots: rootPEM, keyChain: join(between, rootPEM)})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.SignCSR(csr(t, p256(t)), Subject{Identity: cart}, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 3 || chain[1] != string(between) || chain[2] != string(rootPEM) {
		t.Errorf("chain of %d, want leaf, intermediate, root", len(chain))
	}
	if _, err := plugged(map[string][]byte{keyCert: between, keyKey: rootKey, keyRoots: rootPEM}); err == nil {
		t.Error("a key that is not the certificate's is accepted")
	}
}

// Rotation never leaves a moment in which one side does not trust the other.
func TestRotate(t *testing.T) {
	s, changed, err := Rotate(State{}, "cluster.local", now)
	if err != nil || !changed {
		t.Fatalf("no root was made: %v", err)
	}
	first := s.Cert
	step := func(at time.Time, wantChange bool, wantRoots int, wantFirst bool) {
		t.Helper()
		if s, changed, err = Rotate(s, "cluster.local", at); err != nil {
			t.Fatal(err)
		}
		a, err := NewAuthority(s.Cert, s.Key, nil, s.trusted())
		if err != nil {
			t.Fatal(err)
		}
		if signsFirst := string(s.Cert) == string(first); changed != wantChange || len(a.roots) != wantRoots || signsFirst != wantFirst {
			t.Errorf("at %v: changed %v, %d roots, the first signs: %v; want %v, %d, %v",
				at.Sub(now), changed, len(a.roots), signsFirst, wantChange, wantRoots, wantFirst)
		}
	}
	due := now.Add(rootLife*8/10 + time.Hour)
	step(now.Add(time.Hour), false, 1, true)
	step(due, true, 2, true)                            // the successor is trusted
	step(due.Add(settleTime-time.Hour), false, 2, true) // until everyone has it
	step(due.Add(settleTime+time.Hour), true, 2, false) // then it signs
	step(due.Add(settleTime+2*time.Hour), false, 2, false)
	step(now.Add(rootLife+time.Hour), true, 1, false) // the old one has ended
}
