package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/lateenmesh/lateen/apiserver/store"
)

// keys are the secrets of the server: its own certificate authority, the key
// that signs service account tokens, and the administrator's token.
type keys struct {
	caKey   *ecdsa.PrivateKey
	ca      *x509.Certificate
	caPEM   []byte
	signing *ecdsa.PrivateKey
	token   string
	names   []string
}

// loadKeys reads the keys from the journal, or makes them.
func loadKeys(st *store.Store, names []string) (*keys, error) {
	k := &keys{names: append([]string{"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}, names...)}
	token, err := st.Meta("token", func() ([]byte, error) { return []byte(randomHex(24)), nil })
	if err != nil {
		return nil, err
	}
	k.token = string(token)
	if k.signing, err = loadKey(st, "signing-key"); err != nil {
		return nil, err
	}
	if k.caKey, err = loadKey(st, "ca-key"); err != nil {
		return nil, err
	}
	if k.caPEM, err = st.Meta("ca", func() ([]byte, error) { return newCA(k.caKey) }); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(k.caPEM)
	if block == nil {
		return nil, fmt.Errorf("read ca: no PEM")
	}
	k.ca, err = x509.ParseCertificate(block.Bytes)
	return k, err
}

func loadKey(st *store.Store, name string) (*ecdsa.PrivateKey, error) {
	der, err := st.Meta(name, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return x509.MarshalECPrivateKey(key)
	})
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return key, nil
}

func newCA(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "lateen api"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make ca: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// serving makes the certificate that Run serves with.
func (k *keys) serving() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "lateen api"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range k.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, k.ca, key.Public(), k.caKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make serving certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, k.ca.Raw}, PrivateKey: key}, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the system has no randomness
	}
	return n
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
