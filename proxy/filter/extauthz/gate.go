package extauthz

import (
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
	Facts    Facts
}

// Admit reports whether the connection may go on and, where it may not, why.
func (g *Gate) Admit(conn *stream.Conn, info *stream.Info) (bool, string) {
	if g.When != nil && !g.When(&info.Metadata) {
		return true, ""
	}
	var out authv3.CheckResponse
	err := g.Caller.Unary(nil, method, &authv3.CheckRequest{Attributes: g.Facts.of(conn)}, &out)
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
