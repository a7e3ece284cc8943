package interop

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// One entry of a list may name several protocols or a group of ciphers, as Envoy reads
// it, and names of TLS 1.3 in a list of ciphers choose nothing.
func TestProtocolsAndCiphersAsEnvoyReadsThem(t *testing.T) {
	ca := newAuthority(t)
	server := ca.issue(t, "server")
	dir := t.TempDir()
	for name, text := range map[string]string{"chain.pem": server.chain, "key.pem": server.key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agree(t, func(name string, run runner) []string {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				chain: fmt.Sprintf(`
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    common_tls_context:
      alpn_protocols: ["h2,http/1.1"]
      tls_params: {tls_minimum_protocol_version: TLSv1_2, cipher_suites: ["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", TLS_AES_256_GCM_SHA384]}
      tls_certificates: [{certificate_chain: {filename: %[1]s/chain.pem}, private_key: {filename: %[1]s/key.pem}}]`, dir),
				routes: "- {match: {prefix: /}, direct_response: {status: 200}}",
			}.String(), "")
		})
		var out []string
		for _, offer := range []*tls.Config{
			{NextProtos: []string{"http/1.1", "h2"}},
			{NextProtos: []string{"http/1.1"}},
			{NextProtos: []string{"h2,http/1.1"}},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
			{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
		} {
			offer.InsecureSkipVerify = true
			c, err := tls.Dial("tcp", p.address, offer)
			if err != nil {
				out = append(out, "refused")
				continue
			}
			agreed := c.ConnectionState()
			c.Close()
			out = append(out, fmt.Sprintf("%s %s %s", tls.VersionName(agreed.Version), cmp.Or(agreed.NegotiatedProtocol, "-"), tls.CipherSuiteName(agreed.CipherSuite)))
		}
		return out
	})
}
