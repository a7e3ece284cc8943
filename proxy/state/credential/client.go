package credential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Client is the TLS context of a cluster's connections.
type Client struct {
	common *common
	// SNI is the server name that the context asks for; empty leaves it to
	// the caller.
	SNI     string
	current atomic.Pointer[dialled]
}

// dialled is a Client's configurations for one generation of the secrets, by
// server name and ALPN list.
type dialled struct {
	generation uint64
	base       *tls.Config
	verifier   *verifier

	mu    sync.Mutex // guards byKey
	byKey map[string]*tls.Config
}

// NewClient compiles a cluster's TLS context, without the protocols that are not
// spoken. Paths in errors start at the context.
func NewClient(store *Store, t *tlsv3.UpstreamTlsContext, unspoken ...string) (*Client, error) {
	if err := Fields.Check(t); err != nil {
		return nil, err
	}
	c, err := newCommon(store, t.GetCommonTlsContext(), unspoken)
	if err != nil {
		return nil, fieldcheck.At("common_tls_context", err)
	}
	return &Client{common: c, SNI: t.GetSni()}, nil
}

// Secrets names the secrets that it waits for.
func (c *Client) Secrets() []ads.Ref { return c.common.secrets() }

// ALPN is the list of protocols that the context offers by itself.
func (c *Client) ALPN() []string { return c.common.alpn }

// Config is the configuration for one handshake. It is shared by equal
// requests, so that sessions are resumed.
func (c *Client) Config(r pool.TLSRequest) (*tls.Config, error) {
	now, err := c.now()
	if err != nil {
		return nil, err
	}
	if r.SNI == "" {
		r.SNI = c.SNI
	}
	if r.ALPN == nil {
		r.ALPN = c.common.alpn
	}
	if len(r.ALPN) == 0 {
		r.ALPN = r.Fallback
	}
	key := r.SNI + "\x00" + r.VerifyName + "\x00" + strings.Join(r.ALPN, ",")
	now.mu.Lock()
	defer now.mu.Unlock()
	if have := now.byKey[key]; have != nil {
		return have, nil
	}
	config := now.base.Clone()
	config.ServerName, config.NextProtos = r.SNI, r.ALPN
	config.VerifyConnection = func(state tls.ConnectionState) error { return now.check(state.PeerCertificates, r.VerifyName) }
	if len(now.byKey) > maxNames {
		clear(now.byKey)
	}
	now.byKey[key] = config
	return config, nil
}

// maxNames bounds the configurations that are kept: server names may come from
// requests.
const maxNames = 1024

func (d *dialled) check(chain []*x509.Certificate, name string) error {
	if d.verifier != nil {
		if err := d.verifier.verify(chain); err != nil {
			return err
		}
	}
	if name != "" && len(chain) > 0 {
		if err := chain[0].VerifyHostname(name); err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
	}
	return nil
}

func (c *Client) now() (*dialled, error) {
	generation := c.common.store.now()
	if have := c.current.Load(); have != nil && have.generation == generation {
		return have, nil
	}
	base := c.common.base()
	// The verifier checks the peer: SPIFFE names are not host names.
	base.InsecureSkipVerify = true
	base.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	var err error
	if base.Certificates, err = c.common.certificates(); err != nil {
		return nil, err
	}
	v, err := c.common.verifier()
	if err != nil {
		return nil, err
	}
	next := &dialled{generation: generation, base: base, verifier: v, byKey: map[string]*tls.Config{}}
	c.current.Store(next)
	return next, nil
}
