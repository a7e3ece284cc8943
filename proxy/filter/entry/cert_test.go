package entry

import (
	"crypto/x509"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// What an upstream is told of the client's certificate, in Envoy's order and quoting.
func TestClientCertificate(t *testing.T) {
	leaf, issuer := &x509.Certificate{Raw: []byte{0xfb, 0xff, 0xfe, 1}}, &x509.Certificate{Raw: []byte{2}}
	tls := &stream.TLS{
		Peer: leaf, Chain: []*x509.Certificate{leaf, issuer}, PeerHash: "abcd", Subject: `CN="a"`, URISANs: []string{"spiffe://b"}, DNSSANs: []string{"c.example"}, LocalURI: "spiffe://d",
	}
	const first = "-----BEGIN%20CERTIFICATE-----%0A%2B%2F%2F%2BAQ%3D%3D%0A-----END%20CERTIFICATE-----%0A"
	const second = "-----BEGIN%20CERTIFICATE-----%0AAg%3D%3D%0A-----END%20CERTIFICATE-----%0A"
	for _, c := range []struct {
		rule       ClientCert
		came, want string
	}{
		{ClientCert{Forwarding: SanitizeSet}, "old", "By=spiffe://d;Hash=abcd"},
		{ClientCert{Forwarding: SanitizeSet, Subject: true, Cert: true, Chain: true, URI: true, DNS: true}, "",
			`By=spiffe://d;Hash=abcd;Cert="` + first + `";Chain="` + first + second + `";Subject="CN=\"a\"";URI=spiffe://b;DNS=c.example`},
		{ClientCert{Forwarding: AppendForward, URI: true}, "old", "old,By=spiffe://d;Hash=abcd;URI=spiffe://b"},
		{ClientCert{Forwarding: ForwardOnly, URI: true}, "old", "old"},
		{ClientCert{Forwarding: Sanitize, URI: true}, "old", ""},
	} {
		req := &stream.Request{Conn: &stream.Conn{TLS: tls}}
		if c.came != "" {
			req.Header.Set(certField, c.came)
		}
		c.rule.apply(req)
		if got := req.Header.Get(certField); got != c.want {
			t.Errorf("%+v: got  %s\nwant %s", c.rule, got, c.want)
		}
	}
}
