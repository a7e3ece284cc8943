package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// told are operators whose values do not differ from run to run.
var toldOperators = []string{
	"DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_SERIAL", "DOWNSTREAM_PEER_FINGERPRINT_256", "DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_CERT", "DOWNSTREAM_PEER_CERT_V_START",
	"DOWNSTREAM_PEER_CERT_V_END", "DOWNSTREAM_PEER_URI_SAN", "DOWNSTREAM_PEER_DNS_SAN", "DOWNSTREAM_PEER_EMAIL_SAN", "DOWNSTREAM_PEER_IP_SAN", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
	"DOWNSTREAM_PEER_CHAIN_SERIALS", "DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_LOCAL_DNS_SAN", "DOWNSTREAM_LOCAL_EMAIL_SAN",
	"DOWNSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_TLS_VERSION", "DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_GROUP", "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_WIRE_BYTES_RECEIVED", "REQUESTED_SERVER_NAME",
	"UPSTREAM_TLS_VERSION", "UPSTREAM_TLS_CIPHER", "UPSTREAM_SERVER_NAME", "UPSTREAM_PEER_SUBJECT", "UPSTREAM_PEER_ISSUER", "UPSTREAM_PEER_CERT", "UPSTREAM_PEER_CERT_V_START", "UPSTREAM_PEER_CERT_V_END",
	"UPSTREAM_PEER_URI_SAN", "UPSTREAM_PEER_DNS_SAN", "UPSTREAM_PEER_IP_SAN", "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAME_WITHOUT_PORT", "PATH", "PATH(NQ)", "PATH(WQ:ORIG)", "PATH(NQ:PATH)", "PATH(:ORIG_OR_PATH)",
	"QUERY_PARAMS", "RESPONSE_TRAILERS_BYTES", "ENVIRONMENT(LATEEN_NOT_SET)", "EMIT_TIME(%Y-%m-%d)", "EMIT_TIME_LOCAL(%Y-%m-%d)", "START_TIME_LOCAL(%Y-%m-%d)", "RESP(x-seen-cert)",
	"UPSTREAM_LOCAL_URI_SAN", "UPSTREAM_LOCAL_DNS_SAN", "UPSTREAM_LOCAL_IP_SAN", "DOWNSTREAM_PEER_OTHERNAME_SAN", "DOWNSTREAM_LOCAL_OTHERNAME_SAN", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT",
	"REQUESTED_SERVER_NAME(SNI_ONLY)", "REQUESTED_SERVER_NAME(:ORIG)", "REQUESTED_SERVER_NAME(SNI_FIRST)", "REQUESTED_SERVER_NAME(SNI_FIRST:ORIG)", "REQUESTED_SERVER_NAME(SNI_FIRST:HOST)",
	"REQUESTED_SERVER_NAME(HOST_FIRST)", "REQUESTED_SERVER_NAME(HOST_FIRST:ORIG)", "REQUESTED_SERVER_NAME(HOST_FIRST:HOST)", "REQUESTED_SERVER_NAME(HOST_FIRST:ORIG_OR_HOST)", "DOWNSTREAM_HANDSHAKE_DURATION",
	"DOWNSTREAM_PEER_CERT_V_START(%b %e %H:%M:%S %Y)", "DOWNSTREAM_PEER_CERT_V_END(%s.%3f)", "UPSTREAM_PEER_CERT_V_START(%F)", "UPSTREAM_PEER_CERT_V_END()", "ROUNDTRIP_DURATION",
	"REQUEST_HEADER(:path)", "REQUEST_HEADER(x-none?:authority):6", "RESPONSE_HEADER(X-Seen-Cert)", "RESPONSE_HEADER(x-none)", "RESPONSE_TRAILER(x-none)",
}

// What the access log tells of certificates, connections and paths is what Envoy
// tells; so is what the upstream is told of the client's certificate.
func TestOperatorsAsEnvoy(t *testing.T) {
	ca := newAuthority(t)
	client, server, upstream := ca.issue(t, "client"), ca.issue(t, "server"), ca.issue(t, "upstream")
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-seen-cert", r.Header.Get("x-forwarded-client-cert"))
	}))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{upstream.pair(t)}}
	up.StartTLS()
	t.Cleanup(up.Close)

	agree(t, func(name string, run runner) []string {
		dir := t.TempDir()
		for name, text := range map[string]string{"ca.pem": ca.chain, "chain.pem": server.chain + ca.chain, "key.pem": server.key} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := start(t, name, run, func(p *peer) string { return operatorsBootstrap(dir, p, up.Listener.Addr().String()) })
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		var out []string
		for _, path := range []string{"/a?x=1&y=%20z", "/rewritten/b?c=d", "/plain", "/direct", "/old", "/unnamed"} {
			config := &tls.Config{
				RootCAs: roots, ServerName: "Server.example", Certificates: []tls.Certificate{client.pair(t)}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256},
			}
			switch path {
			case "/old":
				config.MinVersion, config.MaxVersion, config.NextProtos = tls.VersionTLS12, tls.VersionTLS12, []string{"http/1.1"}
			case "/unnamed":
				config.ServerName, config.InsecureSkipVerify, config.NextProtos = "127.0.0.1", true, []string{"+x-", "http/1.1"}
			}
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
			req, err := http.NewRequest("GET", "https://"+p.address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "Host.Example:8443"
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			for i, each := range strings.Split(p.log.next(t), "\t") {
				out = append(out, path+" "+toldOperators[i]+": "+localPort.ReplaceAllString(each, "ADDRESS"))
			}
		}
		return out
	})
}

func operatorsBootstrap(dir string, p *peer, up string) string {
	cluster := func(name, hostname string) string {
		return fmt.Sprintf(`
  - name: %s
    type: STATIC
    connect_timeout: 1s
    load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {hostname: %q, address: %s}}]}]}
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: upstream.example
        common_tls_context: {tls_certificates: [{certificate_chain: {filename: %[5]s/chain.pem}, private_key: {filename: %[5]s/key.pem}}], tls_params: {tls_maximum_protocol_version: TLSv1_2}, validation_context: {trusted_ca: {filename: %[5]s/ca.pem}}}`, name, name, hostname, socketAddress(up), dir)
	}
	return static(web{
		name: "web", address: p.address,
		listener: `listener_filters: [{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector, enable_ja3_fingerprinting: true, enable_ja4_fingerprinting: true}}]`,
		chain: fmt.Sprintf(`
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    require_client_certificate: true
    common_tls_context:
      tls_params: {ecdh_curves: [P-256]}
      validation_context: {trusted_ca: {filename: %[1]s/ca.pem}}
      tls_certificates: [{certificate_chain: {filename: %[1]s/chain.pem}, private_key: {filename: %[1]s/key.pem}}]`, dir),
		manager: `
forward_client_cert_details: SANITIZE_SET
set_current_client_cert_details: {subject: true, cert: true, chain: true, uri: true, dns: true}
` + accessLog(p.log.file, tabbed(toldOperators)),
		routes: `
- {match: {prefix: /rewritten}, route: {cluster: unnamed, prefix_rewrite: /new, host_rewrite_literal: new.example}}
- {match: {prefix: /direct}, direct_response: {status: 200}}
- {match: {prefix: /}, route: {cluster: named}}`,
	}.String(), cluster("named", "named.example")+cluster("unnamed", ""))
}

// authority signs certificates.
type authority struct {
	cert  *x509.Certificate
	own   *ecdsa.PrivateKey
	chain string
}

// issued is a certificate with its key, in PEM.
type issued struct{ chain, key string }

func (i issued) pair(t *testing.T) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(i.chain), []byte(i.key))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x1234), Subject: pkix.Name{CommonName: "root, the first", Organization: []string{"Example \"Org\""}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &own.PublicKey, own)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, own, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func (i *authority) issue(t *testing.T, name string) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse("spiffe://cluster.local/ns/default/sa/" + name)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xabcdef), Subject: pkix.Name{CommonName: name + "+x", Organization: []string{"Org, Inc"}, Country: []string{"NL"}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{alternatives(t, [][]byte{[]byte(name + ".example"), []byte("b.example")}, []byte(name+"@example.com"), []byte(uri.String()), net.IPv4(127, 0, 0, 1).To4(), net.ParseIP("::1"))},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &key.PublicKey, i.own)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))}
}

// alternatives are the names of a certificate, those of forms that only their owners know
// among them.
func alternatives(t *testing.T, dns [][]byte, email, uri []byte, addresses ...[]byte) pkix.Extension {
	t.Helper()
	encode := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	var names []asn1.RawValue
	add := func(tag int, compound bool, content []byte) {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: compound, Bytes: content})
	}
	for _, value := range []any{asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("someone@corp")}, asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("ia5")}, 70000, true, []byte("octets")} {
		form := encode(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
		add(0, true, append(form, encode(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: encode(value)})...))
	}
	for _, name := range dns {
		add(2, false, name)
	}
	add(1, false, email)
	add(6, false, uri)
	for _, address := range addresses {
		add(7, false, address)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: encode(names)}
}

// A gRPC status has its names, and what is none has what Envoy writes of it.
func TestStatusesAsEnvoyNamesThem(t *testing.T) {
	agree(t, func(name string, run runner) []string {
		statuses := strings.Fields("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 99 x -2")
		var routes strings.Builder
		for _, s := range statuses {
			fmt.Fprintf(&routes, `
- match: {path: "/%[1]s"}
  direct_response: {status: 200}
  response_headers_to_add: [{header: {key: content-type, value: application/grpc}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}, {header: {key: grpc-status, value: "%[1]s"}}]`, s)
		}
		p := start(t, name, run, func(p *peer) string {
			return static(web{name: "web", address: p.address, routes: routes.String(),
				manager: accessLog(p.log.file, tabbed([]string{"GRPC_STATUS(SNAKE_STRING)", "GRPC_STATUS(CAMEL_STRING)", "GRPC_STATUS(NUMBER)"}))}.String(), "")
		})
		var out []string
		for _, s := range statuses {
			for _, content := range []string{"application/grpc+proto", "text/plain", "application/grpc-web"} {
				req, err := http.NewRequest("GET", "http://"+p.address+"/"+s, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("content-type", content)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				out = append(out, s+" "+content+" "+p.log.next(t))
			}
		}
		return out
	})
}
