package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs what it is given, while it is up.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey

	mu    sync.Mutex
	down  bool
	calls []time.Time
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) root() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func (a *authority) Sign(_ context.Context, csr []byte, life time.Duration) ([]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, time.Now())
	if a.down {
		return nil, errors.New("connection refused")
	}
	block, _ := pem.Decode(csr)
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now(), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, req.PublicKey, a.key)
	return []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), a.root()}, err
}

func (a *authority) set(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

func (a *authority) called() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls)
}

// run starts a source and gives it to test inside a bubble of fake time.
func run(t *testing.T, c Config, test func(*testing.T, *Source, *authority)) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		c.Signer = a
		s := NewSource(c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		test(t, s, a)
		cancel()
		running.Wait()
	})
}

// The certificate fits its key, and a new one with a new key comes at half of
// its life, give or take a hundredth.
func TestRenewal(t *testing.T) {
	for _, rsa := range []bool{false, true} {
		run(t, Config{RSA: rsa}, func(t *testing.T, s *Source, a *authority) {
			changed := s.Changed()
			<-changed
			first, ok := s.Secret(Default)
			if _, err := tls.X509KeyPair(first.Chain, first.Key); err != nil || !ok {
				t.Fatalf("first certificate: %v, %v", ok, err)
			}
			if roots, _ := s.Secret(RootCA); string(roots.Roots) != a.root() {
				t.Error("ROOTCA is not the authority's root")
			}
			begin := time.Now()
			<-changed
			if took := time.Since(begin); took < 12*time.Hour-8*time.Minute || took > 12*time.Hour+8*time.Minute {
				t.Errorf("renewed after %v, want about 12h", took)
			}
			if second, _ := s.Secret(Default); string(second.Key) == string(first.Key) {
				t.Error("the key was kept")
			}
		})
	}
}

// While the authority is down the old certificate stays, tries become rarer,
// and the first one that succeeds renews.
func TestAuthorityDown(t *testing.T) {
	run(t, Config{}, func(t *testing.T, s *Source, a *authority) {
		changed := s.Changed()
		<-changed
		first, _ := s.Secret(Default)
		a.set(true)
		time.Sleep(13 * time.Hour)
		if held, ok := s.Secret(Default); !ok || string(held.Key) != string(first.Key) {
			t.Fatal("the old certificate is not served while the authority is down")
		}
		if calls := a.called(); calls < 40 || calls > 100 {
			t.Errorf("%d tries in about an hour, want about one a minute", calls)
		}
		a.set(false)
		begin := time.Now()
		<-changed
		if took := time.Since(begin); took > 2*lastRetry {
			t.Errorf("renewed %v after the authority came back", took)
		}
	})
}

// At the start tries are quick: a pod and its control plane may start together.
func TestFirstCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		a.set(true)
		s := NewSource(Config{Signer: a})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		time.Sleep(2 * time.Second)
		if _, ok := s.Secret(Default); ok {
			t.Error("a certificate from nowhere")
		}
		a.set(false)
		begin := time.Now()
		<-s.Changed()
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("first certificate after %v", took)
		}
		cancel()
		running.Wait()
	})
}

// A root in the file is trusted within a minute, beside the issuer's own.
func TestRootFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root-cert.pem")
	run(t, Config{RootFile: file}, func(t *testing.T, s *Source, a *authority) {
		changed := s.Changed()
		<-changed
		next := newAuthority(t)
		if err := os.WriteFile(file, []byte(next.root()+a.root()), 0o600); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		<-changed
		if took := time.Since(begin); took > rootPeriod {
			t.Errorf("trusted after %v, want %v", took, rootPeriod)
		}
		roots, _ := s.Secret(RootCA)
		if got, want := string(roots.Roots), a.root()+next.root(); got != want {
			t.Errorf("bundle holds %d roots, want both, each once", strings.Count(got, "BEGIN"))
		}
	})
}
