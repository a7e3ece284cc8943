// Package credential holds the proxy's certificates and trust bundles as they
// are now, and makes TLS configurations of them.
//
// It stands beside the compiled listeners and clusters: those keep a [Server]
// or [Client] and ask it for a configuration at each handshake, so that a
// rotated certificate is used by the next connection without touching them.
package credential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Material is one secret: a certificate with its key, a trust bundle, both, or a
// text for filters.
// It is immutable.
type Material struct {
	// Certificate is what the proxy shows; nil when the secret is only trust.
	Certificate *tls.Certificate
	// Roots is what it trusts; nil when the secret is only a certificate.
	Roots *x509.CertPool
	// Trust is the certificates in Roots.
	Trust []*x509.Certificate
	// Revoked are the revocation lists that are asked about chains to the roots.
	Revoked []*x509.RevocationList
	// Rules are the checks that a validation context adds to chaining to the
	// roots; nil when there are none.
	Rules *tlsv3.CertificateValidationContext
	// Generic is a secret that only filters read; empty when it is for TLS.
	Generic string
}

// Store holds the secrets by name and source.
type Store struct {
	// Locate says who has a secret that is asked for by name; nil is the aggregated
	// control plane.
	Locate func(name string, at *corev3.ConfigSource) (source string, err error)

	mu      sync.RWMutex // guards what follows
	secrets map[ads.Ref]*Material
	updated map[ads.Ref]time.Time
	// generation counts changes; a TLS configuration of an earlier one is made
	// anew.
	generation uint64
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{secrets: map[ads.Ref]*Material{}, updated: map[ads.Ref]time.Time{}}
}

// Ref is the secret that a context or a filter names.
func (s *Store) Ref(c *tlsv3.SdsSecretConfig) (ads.Ref, error) {
	r := ads.Ref{Name: c.GetName()}
	if s.Locate == nil || c.GetSdsConfig() == nil {
		return r, nil
	}
	var err error
	r.Source, err = s.Locate(r.Name, c.GetSdsConfig())
	return r, fieldcheck.At("sds_config", err)
}

// Set puts a secret in place of the one before.
func (s *Store) Set(name ads.Ref, m *Material) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[name] = m
	s.updated[name] = time.Now()
	s.generation++
}

// Remove takes a secret away; what uses it refuses handshakes then.
func (s *Store) Remove(name ads.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, name)
	delete(s.updated, name)
	s.generation++
}

// Get finds a secret.
func (s *Store) Get(name ads.Ref) (*Material, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.secrets[name]
	return m, ok
}

// Generic is a secret for filters as it is now; ok is false when there is none.
func (s *Store) Generic(name ads.Ref) (text string, ok bool) {
	m, _ := s.Get(name)
	if m == nil || m.Generic == "" {
		return "", false
	}
	return m.Generic, true
}

// Has reports whether all of names are there.
func (s *Store) Has(names []ads.Ref) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !slices.ContainsFunc(names, func(n ads.Ref) bool { return s.secrets[n] == nil })
}

// Each calls f with every secret and when it was last set, in no order.
func (s *Store) Each(f func(name ads.Ref, m *Material, updated time.Time)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, m := range s.secrets {
		f(name, m, s.updated[name])
	}
}

func (s *Store) now() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.generation
}

// FromPEM makes a secret of PEM texts; either of chain with key, and roots,
// may be empty.
func FromPEM(chain, key, roots []byte) (*Material, error) {
	m := &Material{}
	if len(chain) > 0 || len(key) > 0 {
		cert, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return nil, err
		}
		m.Certificate = &cert
	}
	if len(roots) > 0 {
		if err := m.trust(roots); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// FromSecret makes a secret of its message.
func FromSecret(secret *tlsv3.Secret) (*Material, error) {
	if err := Fields.Check(secret); err != nil {
		return nil, err
	}
	switch t := secret.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		m, err := fromCertificate(t.TlsCertificate)
		return m, fieldcheck.At("tls_certificate", err)
	case *tlsv3.Secret_ValidationContext:
		m, err := fromValidation(t.ValidationContext)
		return m, fieldcheck.At("validation_context", err)
	case *tlsv3.Secret_GenericSecret:
		text, err := read(t.GenericSecret.GetSecret())
		return &Material{Generic: string(text)}, fieldcheck.At("generic_secret.secret", err)
	default:
		return nil, fieldcheck.Refuse("", "has neither tls_certificate, validation_context nor generic_secret")
	}
}

// Directories are those in which files that a secret names are replaced; none when it
// names no files.
func Directories(secret *tlsv3.Secret) []string {
	cert, trust := secret.GetTlsCertificate(), secret.GetValidationContext()
	var files, out []string
	for _, d := range []*corev3.DataSource{cert.GetCertificateChain(), cert.GetPrivateKey(), trust.GetTrustedCa(), trust.GetCrl(), secret.GetGenericSecret().GetSecret()} {
		if f := d.GetFilename(); f != "" {
			files = append(files, filepath.Dir(f))
		}
	}
	if len(files) == 0 {
		return nil
	}
	for _, w := range []*corev3.WatchedDirectory{cert.GetWatchedDirectory(), trust.GetWatchedDirectory()} {
		if w != nil {
			out = append(out, w.GetPath())
		}
	}
	if len(out) == 0 {
		out = files
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func fromCertificate(c *tlsv3.TlsCertificate) (*Material, error) {
	chain, err := read(c.GetCertificateChain())
	if err != nil {
		return nil, fieldcheck.At("certificate_chain", err)
	}
	key, err := read(c.GetPrivateKey())
	if err != nil {
		return nil, fieldcheck.At("private_key", err)
	}
	return FromPEM(chain, key, nil)
}

func fromValidation(v *tlsv3.CertificateValidationContext) (*Material, error) {
	m := &Material{Rules: v}
	pem, err := read(v.GetTrustedCa())
	if err != nil {
		return nil, fieldcheck.At("trusted_ca", err)
	}
	lists, err := read(v.GetCrl())
	if err == nil {
		m.Revoked, err = revoked(lists)
	}
	if err != nil {
		return nil, fieldcheck.At("crl", err)
	}
	if len(pem) > 0 {
		if err := m.trust(pem); err != nil {
			return nil, fieldcheck.At("trusted_ca", err)
		}
	} else if v.GetSystemRootCerts() != nil {
		if m.Roots, err = x509.SystemCertPool(); err != nil {
			return nil, fieldcheck.At("system_root_certs", err)
		}
	}
	return m, nil
}

// read gives the bytes of a data source; none for an unset one.
func read(d *corev3.DataSource) ([]byte, error) {
	switch s := d.GetSpecifier().(type) {
	case nil:
		return nil, nil
	case *corev3.DataSource_Filename:
		return os.ReadFile(s.Filename)
	case *corev3.DataSource_InlineBytes:
		return s.InlineBytes, nil
	case *corev3.DataSource_InlineString:
		return []byte(s.InlineString), nil
	default:
		return nil, fmt.Errorf("only filename, inline_bytes and inline_string are supported")
	}
}
