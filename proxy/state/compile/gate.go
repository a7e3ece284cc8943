package compile

import (
	"net"
	"time"

	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// gate decides about connections.
type gate interface {
	// Admit reports whether a connection may go on and, where it may not, why.
	Admit(conn *stream.Conn, info *stream.Info) (bool, string)
}

// gate compiles a network filter that decides about connections.
func (c *Compiler) gate(m proto.Message) (gate, error) {
	switch t := m.(type) {
	case *rbacv3.RBAC:
		return rbacGate(t)
	case *statev3.Config:
		return c.connectionState(t)
	case *authzv3.ExtAuthz:
		return c.authzGate(t)
	case *sniv3.SniCluster:
		return toNamed{}, nil
	default:
		return nil, fieldcheck.Refuse("", "%s is not a network filter that is supported", m.ProtoReflect().Descriptor().FullName())
	}
}

// toNamed sends connections to the cluster that has the name of the server that their
// client wants. One whose client wants none goes where it would go anyhow.
type toNamed struct{}

// Admit implements gate.
func (toNamed) Admit(conn *stream.Conn, _ *stream.Info) (bool, string) {
	if conn.Cluster = conn.SNI; conn.TLS != nil {
		conn.Cluster = conn.TLS.SNI
	}
	return true, ""
}

// guarded asks its gates before it lets a handler have a connection.
type guarded struct {
	gates    []gate
	next     listener.Handler
	observer stream.Observer // of refused connections; may be nil
}

// gated puts gates before a handler.
func gated(gates []gate, next listener.Handler, observer stream.Observer) listener.Handler {
	if len(gates) == 0 {
		return next
	}
	return &guarded{gates, next, observer}
}

// Serve implements [listener.Handler].
func (g *guarded) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	info := stream.Info{Start: facts.Start}
	for _, gate := range g.gates {
		admitted, why := gate.Admit(facts, &info)
		if admitted {
			continue
		}
		conn.Close()
		if g.observer != nil {
			info.Termination, info.End, info.Metadata = why, time.Now(), facts.Metadata
			refused := &stream.TCP{Conn: facts, Info: &info}
			g.observer.Opened(refused)
			g.observer.Closed(refused)
		}
		return
	}
	g.next.Serve(conn, facts, drain)
}
