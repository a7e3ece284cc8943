package listener

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// tlsFacts is what a handshake told, in the words of the request path.
func tlsFacts(state tls.ConnectionState, shown *x509.Certificate) *stream.TLS {
	t := &stream.TLS{SNI: serverName([]byte(state.ServerName)), ALPN: state.NegotiatedProtocol, Version: state.Version, Cipher: state.CipherSuite, Group: state.CurveID, Local: shown}
	if shown != nil && len(shown.URIs) > 0 {
		t.LocalURI = shown.URIs[0].String()
	}
	if len(state.PeerCertificates) > 0 {
		peer := state.PeerCertificates[0]
		t.Peer, t.Chain, t.DNSSANs, t.Subject = peer, state.PeerCertificates, peer.DNSNames, peer.Subject.String()
		for _, u := range peer.URIs {
			t.URISANs = append(t.URISANs, u.String())
		}
		sum := sha256.Sum256(peer.Raw)
		t.PeerHash = hex.EncodeToString(sum[:])
	}
	return t
}

// chosen is the certificate of several that the library shows to a client: the first
// that it supports, else the first.
func chosen(certificates []tls.Certificate, hello *tls.ClientHelloInfo) *x509.Certificate {
	if len(certificates) == 0 {
		return nil
	}
	for i := range certificates {
		if len(certificates) > 1 && hello.SupportsCertificate(&certificates[i]) == nil {
			return leaf(&certificates[i])
		}
	}
	return leaf(&certificates[0])
}

func leaf(c *tls.Certificate) *x509.Certificate {
	if c.Leaf != nil || len(c.Certificate) == 0 {
		return c.Leaf
	}
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil // the client has seen the same and will not have taken it
	}
	return parsed
}
