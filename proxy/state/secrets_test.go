package state

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	injectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/credential_injector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	genericv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/injected_credentials/generic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// pair makes a certificate that signs itself, and its key, both PEM.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	noError(t, err)
	body, err := x509.MarshalPKCS8PrivateKey(private)
	noError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: body})
}

// agent plays the agent that keeps "default" and "ROOTCA".
type agent struct {
	cert, key []byte
	changed   chan struct{}
}

func (a *agent) Secret(name string) (chain, key, roots []byte, ok bool) {
	switch {
	case a.cert == nil:
		return nil, nil, nil, false
	case name == "ROOTCA":
		return nil, nil, a.cert, true
	}
	return a.cert, a.key, nil, true
}

func (a *agent) Changed() <-chan struct{} { return a.changed }

func tlsListener(t *testing.T, secrets ...string) *listenerv3.Listener {
	t.Helper()
	common := &tlsv3.CommonTlsContext{}
	for _, name := range secrets {
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, &tlsv3.SdsSecretConfig{Name: name})
	}
	context, err := anypb.New(&tlsv3.DownstreamTlsContext{CommonTlsContext: common})
	noError(t, err)
	l := rdsListener(t, "web", "80")
	l.FilterChains[0].TransportSocket = &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: context}}
	return l
}

// A listener with the agent's certificate waits for it, and the control plane
// is not asked for it.
func TestAgentsSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{wanted: map[string][]string{}}
		a := &agent{changed: make(chan struct{}, 1)}
		s := New(Config{Listeners: r, Telemetry: telemetry.New(telemetry.Config{}), Want: r.want, Secrets: a})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		noError(t, update(t, s, ads.ListenerType, tlsListener(t, "default")))
		noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
		if len(r.listeners) != 0 || len(r.wanted[ads.SecretType]) != 0 {
			t.Errorf("got %d listeners and asked for %v, want to wait for the agent", len(r.listeners), r.wanted[ads.SecretType])
		}
		a.cert, a.key = pair(t)
		a.changed <- struct{}{}
		synctest.Wait()
		if len(r.listeners) != 1 {
			t.Error("the listener does not serve although its certificate is there")
		}
		cancel()
		<-done
	})
}

// A gateway's secret is asked for by name; one that the control plane does not
// have holds nobody up, and serves from when it arrives.
func TestGatewaySecrets(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, tlsListener(t, "kubernetes://shop", "kubernetes://gone")))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if diff := cmp.Diff(r.wanted[ads.SecretType], []string{"kubernetes://gone", "kubernetes://shop"}); diff != "" {
		t.Error("asked for:", diff)
	}
	cert, key := pair(t)
	noError(t, update(t, s, ads.SecretType, &tlsv3.Secret{Name: "kubernetes://shop", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: cert}},
		PrivateKey:       &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: key}},
	}}}))
	if len(r.listeners) != 0 {
		t.Error("the listener serves before all is known of its secrets")
	}
	noError(t, s.Update(ads.Update{Type: ads.SecretType, Removed: []string{"kubernetes://gone"}}))
	if len(r.listeners) != 1 {
		t.Error("a secret that does not exist holds up the listener")
	}
	noError(t, s.Update(ads.Update{Type: ads.SecretType, Removed: []string{"kubernetes://shop"}}))
	if !s.secrets.Has([]ads.Ref{{Name: "kubernetes://shop"}}) {
		t.Error("a secret that is in use is taken away")
	}
	defer func() {
		noError(t, s.Update(ads.Update{Type: ads.ListenerType, Removed: []string{"web"}}))
		if len(s.bodies)+len(s.absent)+len(s.files) > 0 || s.secrets.Has([]ads.Ref{{Name: "kubernetes://shop"}}) {
			t.Errorf("%d secrets are kept that nobody refers to", len(s.bodies))
		}
	}()
	for _, res := range s.Resources(ads.SecretType) {
		if res.Body != nil {
			t.Errorf("secret %s is shown in dumps", res.Name)
		}
	}
}

// A listener waits for the secret that a filter injects, and a new one is used at
// once.
func TestInjectedSecret(t *testing.T) {
	s, r := newState(t)
	l := rdsListener(t, "web", "80")
	manager := &hcmv3.HttpConnectionManager{}
	noError(t, l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(manager))
	generic, err := anypb.New(&genericv3.Generic{Credential: &tlsv3.SdsSecretConfig{Name: "token"}})
	noError(t, err)
	filter, err := anypb.New(&injectorv3.CredentialInjector{Credential: &corev3.TypedExtensionConfig{Name: "generic", TypedConfig: generic}})
	noError(t, err)
	manager.HttpFilters = append([]*hcmv3.HttpFilter{{Name: "injector", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter}}}, manager.HttpFilters...)
	packed, err := anypb.New(manager)
	noError(t, err)
	l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	noError(t, update(t, s, ads.ListenerType, l))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if diff := cmp.Diff(r.wanted[ads.SecretType], []string{"token"}); diff != "" || len(r.listeners) != 0 {
		t.Errorf("asked for %s, %d listeners", diff, len(r.listeners))
	}
	for _, want := range []string{"one", "two"} {
		noError(t, update(t, s, ads.SecretType, parse(t, &tlsv3.Secret{}, `{"name":"token","genericSecret":{"secret":{"inlineString":"`+want+`"}}}`)))
		if got, ok := s.secrets.Generic(ads.Ref{Name: "token"}); got != want || !ok || len(r.listeners) != 1 {
			t.Errorf("got %q, %v with %d listeners; want %q", got, ok, len(r.listeners), want)
		}
	}
}

// The directory of a secret's files is looked at before they are read, lest a change be
// missed.
func TestFilesAreWatchedFirst(t *testing.T) {
	s, _ := newState(t)
	dir := t.TempDir()
	err := update(t, s, ads.SecretType, parse(t, &tlsv3.Secret{}, `{"name":"token","genericSecret":{"secret":{"filename":"`+dir+`/missing"}}}`))
	if err == nil {
		t.Error("a file that is not there is read")
	}
	if s.watch == nil {
		t.Fatal("read before it is looked at")
	}
	s.unwatch()
	s.running.Wait()
}
