package extauthz

import (
	"encoding/pem"
	"net/url"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Gate asks the service about each connection, before a byte of it is carried on.
type Gate struct {
	Caller *upcall.Caller
	// When says by a connection's metadata whether it is asked about; nil is always.
	When func(*stream.Metadata) bool
	// FailOpen lets connections through when the service cannot be asked.
	FailOpen bool
	// Certificate tells the peer's certificate, TLS the server name.
	Certificate, TLS bool
}

// Admit reports whether the connection may go on and, where it may not, why.
func (g *Gate) Admit(conn *stream.Conn, info *stream.Info) (bool, string) {
	if g.When != nil && !g.When(&info.Metadata) {
		return true, ""
	}
	source, destination := ends(conn)
	attributes := &authv3.AttributeContext{Source: source, Destination: destination}
	if t := conn.TLS; t != nil {
		if g.Certificate && t.Peer != nil {
			source.Certificate = url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.Peer.Raw})))
		}
		if g.TLS {
			attributes.TlsSession = &authv3.AttributeContext_TLSSession{Sni: t.SNI}
		}
	}
	var out authv3.CheckResponse
	err := g.Caller.Unary(nil, method, &authv3.CheckRequest{Attributes: attributes}, &out)
	switch {
	case err == nil && out.GetStatus().GetCode() == 0, err != nil && g.FailOpen:
		return true, ""
	case err != nil:
		info.Flags |= stream.Unauthorized
		return false, "ext_authz_error"
	}
	info.Flags |= stream.Unauthorized
	return false, "ext_authz_close"
}

// ends are the two ends of a connection, as the service is told them.
func ends(conn *stream.Conn) (source, destination *authv3.AttributeContext_Peer) {
	source = &authv3.AttributeContext_Peer{Address: upcall.Address(conn.Remote)}
	destination = &authv3.AttributeContext_Peer{Address: upcall.Address(conn.Local)}
	if t := conn.TLS; t != nil {
		source.Principal, destination.Principal = t.Principal(), t.LocalURI
	}
	return source, destination
}
