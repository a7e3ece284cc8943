package extauthz

import (
	"encoding/pem"
	"net/url"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Facts are what a service is told of a connection beside its ends.
type Facts struct {
	// Certificate tells the peer's certificate, TLS the server name.
	Certificate, TLS bool
	// Labels are this workload's.
	Labels map[string]string
}

// of gives the facts about a connection.
func (f *Facts) of(conn *stream.Conn) *authv3.AttributeContext {
	out := &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: upcall.Address(conn.Remote, conn.Path)},
		Destination: &authv3.AttributeContext_Peer{Address: upcall.Address(conn.Local, conn.Path), Labels: f.Labels},
	}
	if f.TLS {
		out.TlsSession = &authv3.AttributeContext_TLSSession{}
	}
	t := conn.TLS
	if t == nil {
		return out
	}
	out.Source.Principal, out.Destination.Principal = t.Principal(), t.LocalURI
	if f.Certificate && t.Peer != nil {
		out.Source.Certificate = url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.Peer.Raw})))
	}
	if f.TLS {
		out.TlsSession.Sni = t.SNI
	}
	return out
}
