package credential

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Server is the TLS context of a filter chain.
type Server struct {
	common  *common
	require bool
	current atomic.Pointer[served]
}

// served is a Server's configurations for one generation of the secrets, by
// the ALPN list offered: session tickets belong to one configuration.
type served struct {
	generation uint64
	base       *tls.Config

	mu     sync.Mutex // guards byALPN
	byALPN map[string]*tls.Config
}

// NewServer compiles a filter chain's TLS context, without the protocols that are
// not spoken. Paths in errors start at the context.
func NewServer(store *Store, t *tlsv3.DownstreamTlsContext, unspoken ...string) (*Server, error) {
	if err := Fields.Check(t); err != nil {
		return nil, err
	}
	c, err := newCommon(store, t.GetCommonTlsContext(), unspoken)
	if err != nil {
		return nil, fieldcheck.At("common_tls_context", err)
	}
	if len(c.fixed)+len(c.names) == 0 {
		return nil, fieldcheck.Refuse("common_tls_context", "names no certificate to show")
	}
	return &Server{common: c, require: t.GetRequireClientCertificate().GetValue()}, nil
}

// Secrets names the secrets that it waits for.
func (s *Server) Secrets() []ads.Ref { return s.common.secrets() }

// Config is the configuration for one handshake. The list of protocols is cut
// to those that the client offers too, and to none when nothing is common: a
// mesh has clients whose list does not overlap, and they are let in without.
func (s *Server) Config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	var shared []string
	for _, p := range s.common.alpn {
		if slices.Contains(hello.SupportedProtos, p) {
			shared = append(shared, p)
		}
	}
	key := strings.Join(shared, ",")
	now.mu.Lock()
	defer now.mu.Unlock()
	if c := now.byALPN[key]; c != nil {
		return c, nil
	}
	c := now.base.Clone()
	c.NextProtos = shared
	now.byALPN[key] = c
	return c, nil
}

// now gives the configurations for the secrets as they are.
func (s *Server) now() (*served, error) {
	generation := s.common.store.now()
	if have := s.current.Load(); have != nil && have.generation == generation {
		return have, nil
	}
	base := s.common.base()
	var err error
	if base.Certificates, err = s.common.certificates(); err != nil {
		return nil, err
	}
	v, err := s.common.verifier()
	if err != nil {
		return nil, err
	}
	switch {
	case v == nil && !s.require:
		base.ClientAuth = tls.NoClientCert
	case s.require:
		base.ClientAuth = tls.RequireAnyClientCert
	default:
		base.ClientAuth = tls.RequestClientCert
	}
	if v != nil {
		base.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 && !s.require {
				return nil
			}
			return v.verify(state.PeerCertificates)
		}
	}
	next := &served{generation: generation, base: base, byALPN: map[string]*tls.Config{}}
	s.current.Store(next)
	return next, nil
}
