package listener

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// tlsFacts is what a handshake told, in the words of the request path.
func tlsFacts(state tls.ConnectionState) *stream.TLS {
	t := &stream.TLS{SNI: serverName([]byte(state.ServerName)), ALPN: state.NegotiatedProtocol, Version: state.Version, Cipher: state.CipherSuite}
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
