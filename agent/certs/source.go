// Package certs keeps a workload's certificate fresh: it makes a key, has it
// signed by the mesh's authority, and renews at half of each certificate's
// life.
//
// It is the part of the agent that must be ready before the proxy can take
// part in mutual TLS: the proxy asks a [Source] for its secrets "default" (key
// and certificate) and "ROOTCA" (whom to trust) and is told when they change.
// While the authority is down the old certificate stays in use.
package certs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// The names of the secrets, as Istio's proxies ask for them.
const (
	Default = "default"
	RootCA  = "ROOTCA"
)

// Secret is what a proxy needs for mutual TLS. It is immutable.
type Secret struct {
	Name string
	// Chain is the certificate and those up to the root, Key its private key,
	// both PEM; empty in [RootCA].
	Chain, Key []byte
	// Roots is the trust bundle, PEM; empty in [Default].
	Roots []byte
	// NotAfter is when the certificate ends; zero in [RootCA].
	NotAfter time.Time
}

// Signer has a certificate request signed. It returns PEM, the leaf first and
// the roots last. [Client] is the one over the network.
type Signer interface {
	Sign(ctx context.Context, csr []byte, life time.Duration) ([]string, error)
}

// Config says how a [Source] gets its certificate.
type Config struct {
	Signer Signer
	// RSA asks for a 2048-bit RSA key instead of a P-256 one.
	RSA bool
	// Life is how long a certificate is asked to last; 0 is 24 hours.
	Life time.Duration
	// RootFile is a PEM file with further roots to trust, read again every
	// minute: during a rotation it knows the new root before our own
	// certificate is renewed. Empty is none.
	RootFile string
	// Log gets what goes wrong; nil discards it.
	Log *slog.Logger
}

// The pauses between tries to reach the authority, and between looks at the
// root file.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = time.Minute
	rootPeriod = time.Minute
)

// Source holds the workload's secrets. Its methods may be called from any
// goroutine.
type Source struct {
	config Config

	mu      sync.Mutex
	cert    Secret          // guarded by mu
	issued  []byte          // guarded by mu; the roots that came with cert
	roots   Secret          // guarded by mu
	watched []chan struct{} // guarded by mu
}

// NewSource makes a source without secrets; [Source.Run] gets them.
func NewSource(c Config) *Source {
	if c.Life == 0 {
		c.Life = 24 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Source{config: c}
}

// Secret is the newest secret of a name, [Default] or [RootCA]. It is false
// until the first certificate is there, and for any other name.
func (s *Source) Secret(name string) (Secret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case Default:
		return s.cert, len(s.cert.Chain) > 0
	case RootCA:
		return s.roots, len(s.roots.Roots) > 0
	}
	return Secret{}, false
}

// Changed gives a channel that gets a value after a secret has changed;
// several changes may be told as one. It has one at once if there are secrets.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{}, 1)
	if len(s.roots.Roots) > 0 {
		c <- struct{}{}
	}
	s.watched = append(s.watched, c)
	return c
}

// Run gets a certificate and renews it until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	roots := time.NewTicker(rootPeriod)
	defer roots.Stop()
	s.readRoots()
	retry := firstRetry
	renew := time.After(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-roots.C:
			s.readRoots()
			continue
		case <-renew:
		}
		wait, err := s.renew(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait, retry = jitter(retry, 0.2), min(2*retry, s.slowest())
			s.report(err, wait)
		default:
			retry = firstRetry
		}
		renew = time.After(wait)
	}
}

// slowest is the longest pause between tries: short while the workload cannot
// take part in the mesh at all.
func (s *Source) slowest() time.Duration {
	if _, ok := s.Secret(Default); ok {
		return lastRetry
	}
	return firstRetry
}

// report logs a failure, louder the closer the end is.
func (s *Source) report(err error, retry time.Duration) {
	s.mu.Lock()
	end := s.cert.NotAfter
	s.mu.Unlock()
	switch left := time.Until(end); {
	case end.IsZero():
		s.config.Log.Warn("no certificate yet", "error", err, "retry_in", retry)
	case left < 0:
		s.config.Log.Error("certificate has ended and was not renewed", "ended", end, "error", err, "retry_in", retry)
	default:
		s.config.Log.Warn("certificate not renewed, the old one stays in use", "valid_for", left, "error", err, "retry_in", retry)
	}
}

// renew gets one certificate and says how long to wait for the next.
func (s *Source) renew(ctx context.Context, now time.Time) (time.Duration, error) {
	csr, key, err := request(s.config.RSA)
	if err != nil {
		return 0, err
	}
	chain, err := s.config.Signer.Sign(ctx, csr, s.config.Life)
	if err != nil {
		return 0, fmt.Errorf("have a certificate signed: %w", err)
	}
	if len(chain) < 2 {
		return 0, fmt.Errorf("the authority sent %d certificates, want at least the leaf and a root", len(chain))
	}
	leaf, err := parse(chain[0])
	if err != nil {
		return 0, fmt.Errorf("read the signed certificate: %w", err)
	}
	s.set(Secret{
		Name: Default, Key: key, NotAfter: leaf.NotAfter,
		Chain: []byte(strings.Join(chain[:len(chain)-1], "")),
	}, []byte(chain[len(chain)-1]))
	return renewIn(leaf.NotBefore, leaf.NotAfter, now), nil
}

// renewIn is the time until half of a certificate's life is over, give or take
// a hundredth so that a fleet does not come all at once.
func renewIn(begin, end, now time.Time) time.Duration {
	life := end.Sub(begin)
	at := begin.Add(jitter(life/2, 0.01))
	return max(at.Sub(now), time.Second)
}

func (s *Source) set(cert Secret, issued []byte) {
	more := s.fileRoots()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cert, s.issued = cert, issued
	s.trust(more)
	s.announce()
}

func (s *Source) announce() {
	for _, c := range s.watched {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// jitter varies d by up to part of it either way.
func jitter(d time.Duration, part float64) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*part*float64(d))
}

func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
