package entry

import (
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Forwarding is what becomes of the field x-forwarded-client-cert.
type Forwarding uint8

// The ways to treat it. A connection without a client certificate passes it on
// only with AlwaysForward.
const (
	Sanitize Forwarding = iota
	ForwardOnly
	AppendForward
	SanitizeSet
	AlwaysForward
)

// ClientCert says what is told of the client's certificate.
type ClientCert struct {
	Forwarding                     Forwarding
	Subject, Cert, Chain, URI, DNS bool
}

const certField = "x-forwarded-client-cert"

func (c ClientCert) apply(req *stream.Request) {
	if c.Forwarding == AlwaysForward {
		return
	}
	mutual := req.Conn.TLS.Mutual()
	if c.Forwarding == Sanitize || !mutual {
		req.Header.Del(certField)
		return
	}
	switch c.Forwarding {
	case AppendForward:
		appendList(&req.Header, certField, c.element(req.Conn.TLS))
	case SanitizeSet:
		req.Header.Set(certField, c.element(req.Conn.TLS))
	}
}

func encoded(certs ...*x509.Certificate) string {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return stream.QuotePEM(text)
}

// element describes this hop: who we are, and the certificate that we saw.
func (c ClientCert) element(t *stream.TLS) string {
	parts := make([]string, 0, 6)
	if t.LocalURI != "" {
		parts = append(parts, "By="+t.LocalURI)
	}
	parts = append(parts, "Hash="+t.PeerHash)
	if c.Cert {
		parts = append(parts, `Cert="`+encoded(t.Peer)+`"`)
	}
	if c.Chain {
		parts = append(parts, `Chain="`+encoded(t.Chain...)+`"`)
	}
	if c.Subject {
		parts = append(parts, `Subject="`+strings.ReplaceAll(t.Subject, `"`, `\"`)+`"`)
	}
	if c.URI {
		for _, u := range t.URISANs {
			parts = append(parts, "URI="+u)
		}
		if len(t.URISANs) == 0 {
			parts = append(parts, "URI=")
		}
	}
	if c.DNS {
		for _, d := range t.DNSSANs {
			parts = append(parts, "DNS="+d)
		}
	}
	return strings.Join(parts, ";")
}
