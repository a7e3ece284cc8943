package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// hop is one of our proxies before one upstream.
type hop struct {
	plain, secure string // addresses
	pool          *x509.CertPool
}

// newHop starts a proxy with a plain and a secure listener before the upstream.
// options are the cluster's further fields.
func newHop(t *testing.T, address, codec, options string) *hop {
	t.Helper()
	h := &hop{plain: freeAddress(t), secure: freeAddress(t)}
	cert, key := h.certificate(t)
	listener := web{
		name: "plain", address: h.plain, routes: "- {match: {prefix: /}, route: {cluster: up, timeout: 0s}}",
		manager: "codec_type: " + codec + "\nupgrade_configs: [{upgrade_type: websocket}]",
	}
	secure := listener
	secure.name, secure.address, secure.chain = "secure", h.secure, fmt.Sprintf(`
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    common_tls_context:
      alpn_protocols: [h2, http/1.1]
      tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]`, cert, key)
	runOurs(t, static(listener.String()+secure.String(), upstream("up", address, options)))
	waitFor(t, h.plain)
	waitFor(t, h.secure)
	return h
}

// certificate writes one for 127.0.0.1 into files.
func (h *hop) certificate(t *testing.T) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	own := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	h.pool = x509.NewCertPool()
	h.pool.AddCert(s.Certificate())
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// What clusters say of their protocol.
const (
	speakHTTP1 = ""
	speakHTTP2 = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}}`
	speakEither = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    auto_config: {http_protocol_options: {}, http2_protocol_options: {}}` + secured
	speakClients = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}`
	secured = `
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    common_tls_context: {}`
)

// echoing answers with what it got, and tells in which protocol.
var echoing = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-protocol", r.Proto)
	w.Header().Set("trailer", "x-sum")
	content, _ := io.ReadAll(r.Body)
	w.(http.Flusher).Flush() // no length is announced: it would leave no room for trailers
	_, _ = w.Write(content)
	w.Header().Set("x-sum", r.Trailer.Get("x-sum"))
})

// One body × {HTTP/1.1, HTTP/2} × {plain, TLS} downstream × how upstreams are
// spoken to.
func TestBodiesThroughProtocols(t *testing.T) {
	clear := httptest.NewServer(h2c.NewHandler(echoing, &http2.Server{}))
	t.Cleanup(clear.Close)
	secure := httptest.NewUnstartedServer(echoing)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, up := range []struct {
		name, address, options string
		first, second          string // what HTTP/1.1 and HTTP/2 clients are forwarded in
	}{
		{"HTTP/1.1", clear.Listener.Addr().String(), speakHTTP1, "HTTP/1.1", "HTTP/1.1"},
		{"HTTP/2", clear.Listener.Addr().String(), speakHTTP2, "HTTP/2.0", "HTTP/2.0"},
		{"the client's", clear.Listener.Addr().String(), speakClients, "HTTP/1.1", "HTTP/2.0"},
		{"negotiated", secure.Listener.Addr().String(), speakEither, "HTTP/2.0", "HTTP/2.0"},
		{"HTTP/2 over TLS", secure.Listener.Addr().String(), speakHTTP2 + secured, "HTTP/2.0", "HTTP/2.0"},
		{"HTTP/1.1 over TLS", secure.Listener.Addr().String(), speakHTTP1 + secured, "HTTP/1.1", "HTTP/1.1"},
	} {
		h := newHop(t, up.address, "AUTO", up.options)
		for name, client := range h.clients() {
			t.Run(up.name+"/"+name, func(t *testing.T) {
				for _, size := range []int{0, 1, 1000, 17_000, len(content)} {
					for _, announced := range []bool{true, false} {
						want := up.first
						if client.second {
							want = up.second
						}
						h.exchange(t, client, content[:size], announced, want)
					}
				}
			})
		}
	}
}

// client is one way to reach a hop.
type client struct {
	url    string
	trip   http.RoundTripper
	second bool // speaks HTTP/2
}

func (h *hop) clients() map[string]client {
	config := &tls.Config{RootCAs: h.pool}
	return map[string]client{
		"h1 plain": {"http://" + h.plain, &http.Transport{}, false},
		"h1 TLS":   {"https://" + h.secure, &http.Transport{TLSClientConfig: config}, false},
		"h2 plain": {"http://" + h.plain, &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}, true},
		"h2 TLS": {"https://" + h.secure, &http2.Transport{TLSClientConfig: config}, true},
	}
}

func (h *hop) exchange(t *testing.T, c client, content []byte, announced bool, protocol string) {
	t.Helper()
	var body io.Reader = bytes.NewReader(content)
	if !announced {
		body = struct{ io.Reader }{body}
	}
	req, _ := http.NewRequest("POST", c.url+"/echo", body)
	sum := ""
	if !announced && len(content) > 0 {
		sum, req.Trailer = "7", http.Header{"X-Sum": {"7"}}
	}
	resp, err := c.trip.RoundTrip(req)
	if err != nil {
		t.Fatalf("%d bytes: %v", len(content), err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, content) || resp.StatusCode != 200 {
		t.Errorf("%d bytes: got %d, %d bytes, %v", len(content), resp.StatusCode, len(got), err)
	}
	if p := resp.Header.Get("x-protocol"); p != protocol {
		t.Errorf("forwarded in %s; want %s", p, protocol)
	}
	if got := resp.Trailer.Get("x-sum"); got != sum {
		t.Errorf("%d bytes: trailer %q; want %q", len(content), got, sum)
	}
}

// The interop tests of gRPC, with its own client and server, through the proxy.
func TestGRPCInterop(t *testing.T) {
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	h := newHop(t, serveGRPC(t, server), "AUTO", speakHTTP2)
	for name, c := range map[string]struct {
		address string
		creds   credentials.TransportCredentials
	}{"plain": {h.plain, insecure.NewCredentials()}, "TLS": {h.secure, credentials.NewTLS(&tls.Config{RootCAs: h.pool})}} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient("passthrough:///"+c.address, grpc.WithTransportCredentials(c.creds))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			tc := testgrpc.NewTestServiceClient(conn)
			interop.DoEmptyUnaryCall(ctx, tc)
			interop.DoLargeUnaryCall(ctx, tc)
			interop.DoClientStreaming(ctx, tc)
			interop.DoServerStreaming(ctx, tc)
			interop.DoPingPong(ctx, tc)
			interop.DoEmptyStream(ctx, tc)
			interop.DoTimeoutOnSleepingServer(ctx, tc)
			interop.DoCancelAfterBegin(ctx, tc)
			interop.DoCancelAfterFirstResponse(ctx, tc)
			interop.DoCustomMetadata(ctx, tc)
			interop.DoStatusCodeAndMessage(ctx, tc)
			interop.DoSpecialStatusMessage(ctx, tc)
			interop.DoUnimplementedMethod(ctx, conn)
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		})
	}
}

var verdict = regexp.MustCompile(`(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed`)

// h2spec's cases, all of them, plain and over TLS.
func TestH2Spec(t *testing.T) {
	binary := os.Getenv("LATEEN_H2SPEC")
	if binary == "" {
		binary, _ = exec.LookPath("h2spec")
	}
	if binary == "" {
		const how = "no h2spec: go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible and name its binary in LATEEN_H2SPEC"
		if os.Getenv("CI") == "true" {
			t.Fatal(how)
		}
		t.Skip("SKIPPED: " + how)
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello, this is a body of some length")
	}))
	t.Cleanup(up.Close)
	h := newHop(t, up.Listener.Addr().String(), "HTTP2", speakHTTP1)
	for name, c := range map[string]struct {
		address string
		flags   []string
	}{"plain": {h.plain, nil}, "TLS": {h.secure, []string{"-t", "-k"}}} {
		t.Run(name, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(c.address)
			out, err := exec.Command(binary, append(c.flags, "-h", host, "-p", port, "-o", "5", "--strict")...).CombinedOutput()
			m := verdict.FindSubmatch(out)
			if err != nil || m == nil || string(m[4]) != "0" || string(m[2]) == "0" {
				i := max(0, bytes.Index(out, []byte("Failures:")))
				t.Errorf("%v\n%s", err, out[i:])
			}
		})
	}
}
