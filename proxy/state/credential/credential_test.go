package credential

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// authority signs test certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t *testing.T, spiffe string) *Material {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse(spiffe)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{uri}, NotAfter: time.Now().Add(time.Hour),
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &Material{Certificate: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func (a *authority) root(t *testing.T) *Material {
	m, err := FromPEM(nil, nil, a.pem)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mesh(alpn []string, sans ...string) *tlsv3.CommonTlsContext {
	v := &tlsv3.CertificateValidationContext{}
	for _, s := range sans {
		v.MatchTypedSubjectAltNames = append(v.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}})
	}
	return &tlsv3.CommonTlsContext{
		AlpnProtocols:                  alpn,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default"}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext: v, ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "ROOTCA"},
		}},
	}
}

func shake(t *testing.T, s *Server, c *Client, r pool.TLSRequest) (server, client tls.ConnectionState, err error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	down := tls.Server(far, &tls.Config{GetConfigForClient: s.Config})
	failed := make(chan error, 1)
	go func() {
		err := down.Handshake()
		if err == nil {
			_, err = down.Write([]byte("."))
		}
		failed <- err
	}()
	config, err := c.Config(r)
	if err != nil {
		t.Fatal(err)
	}
	up := tls.Client(near, config)
	if err = up.Handshake(); err == nil {
		_, err = up.Read(make([]byte, 1))
	}
	near.Close()
	if serverErr := <-failed; err == nil {
		err = serverErr
	}
	return down.ConnectionState(), up.ConnectionState(), err
}

// Both ends prove who they are; a certificate that was rotated is the next
// connection's; whoever is not expected is refused.
func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	const web, cart, evil = "spiffe://cluster.local/ns/a/sa/web", "spiffe://cluster.local/ns/a/sa/cart", "spiffe://cluster.local/ns/a/sa/evil"
	here, there := NewStore(), NewStore()
	there.Set(ads.Ref{Name: "default"}, ca.issue(t, cart))
	there.Set(ads.Ref{Name: "ROOTCA"}, ca.root(t))
	server, err := NewServer(there, &tlsv3.DownstreamTlsContext{RequireClientCertificate: wrapperspb.Bool(true), CommonTlsContext: mesh([]string{"h2", "http/1.1"})})
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClient(here, &tlsv3.UpstreamTlsContext{Sni: "cart", CommonTlsContext: mesh([]string{"istio"}, cart)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Config(pool.TLSRequest{}); err == nil || !strings.Contains(err.Error(), `secret "default" has not arrived`) {
		t.Errorf("got %v before the secrets arrived", err)
	}
	here.Set(ads.Ref{Name: "default"}, ca.issue(t, web))
	here.Set(ads.Ref{Name: "ROOTCA"}, ca.root(t))

	down, up, err := shake(t, server, client, pool.TLSRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got := down.PeerCertificates[0].URIs[0].String(); got != web {
		t.Errorf("the server sees %s, want %s", got, web)
	}
	if up.NegotiatedProtocol != "" {
		t.Errorf("got protocol %q, want none: the lists do not overlap", up.NegotiatedProtocol)
	}
	if _, up, err = shake(t, server, client, pool.TLSRequest{ALPN: []string{"istio-http/1.1", "http/1.1"}}); err != nil || up.NegotiatedProtocol != "http/1.1" {
		t.Errorf("got protocol %q, %v; want http/1.1", up.NegotiatedProtocol, err)
	}
	there.Set(ads.Ref{Name: "default"}, ca.issue(t, evil))
	if _, _, err = shake(t, server, client, pool.TLSRequest{}); err == nil || !strings.Contains(err.Error(), evil) {
		t.Errorf("got %v, want a refusal that names %s", err, evil)
	}
	there.Set(ads.Ref{Name: "default"}, newAuthority(t).issue(t, cart))
	if _, _, err = shake(t, server, client, pool.TLSRequest{}); err == nil {
		t.Error("a certificate of another authority was accepted")
	}
}

// A context that asks for what is not there is refused by name.
func TestRefusals(t *testing.T) {
	bad := mesh(nil)
	bad.TlsParams = &tlsv3.TlsParameters{EcdhCurves: []string{"P-256", "K-163"}}
	_, err := NewServer(NewStore(), &tlsv3.DownstreamTlsContext{CommonTlsContext: bad})
	if got, want := err.Error(), `common_tls_context.tls_params.ecdh_curves[1]: "K-163" is not supported`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = NewServer(NewStore(), &tlsv3.DownstreamTlsContext{FullScanCertsOnSniMismatch: wrapperspb.Bool(true)})
	if got, want := err.Error(), "full_scan_certs_on_sni_mismatch: is not supported"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFieldTable(t *testing.T) {
	wrong := Fields.Unknown(func(n protoreflect.FullName) protoreflect.MessageDescriptor {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(n)
		if err != nil {
			return nil
		}
		return d.(protoreflect.MessageDescriptor)
	})
	if len(wrong) > 0 {
		t.Errorf("no such fields: %v", wrong)
	}
}

// Every secret with files says where they are replaced.
func TestDirectories(t *testing.T) {
	for in, want := range map[string]string{
		`{"tlsCertificate":{"certificateChain":{"filename":"/b/c"},"privateKey":{"filename":"/a/k"}}}`: "/a /b",
		`{"tlsCertificate":{"certificateChain":{"filename":"/b/c"},"watchedDirectory":{"path":"/w"}}}`: "/w",
		`{"validationContext":{"trustedCa":{"filename":"/a/ca"},"crl":{"filename":"/a/crl"}}}`:         "/a",
		`{"genericSecret":{"secret":{"filename":"/g/token"}}}`:                                         "/g",
		`{"genericSecret":{"secret":{"inlineString":"x"}}}`:                                            "",
	} {
		m := &tlsv3.Secret{}
		if err := protojson.Unmarshal([]byte(in), m); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Directories(m), " "); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// One entry may name several protocols, and one that is not spoken is left out of it.
func TestProtocolsWithCommas(t *testing.T) {
	for _, c := range []struct {
		entries, unspoken, want []string
	}{
		{[]string{"h2,http/1.1"}, nil, []string{"h2", "http/1.1"}},
		{[]string{"h2,http/1.1", "istio"}, []string{"h2"}, []string{"http/1.1", "istio"}},
		{[]string{"h2,", ""}, nil, []string{"h2"}},
		{nil, nil, nil},
	} {
		client, err := NewClient(NewStore(), &tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{AlpnProtocols: c.entries}}, c.unspoken...)
		if err != nil {
			t.Fatal(err)
		}
		if got := client.ALPN(); !slices.Equal(got, c.want) {
			t.Errorf("%q without %q: got %q, want %q", c.entries, c.unspoken, got, c.want)
		}
	}
}
