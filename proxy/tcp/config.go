// Package tcp carries byte streams that are not HTTP, or not to be looked into.
package tcp

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Config says where a connection's bytes go.
type Config struct {
	StatPrefix string
	Clusters   []Weighted
	// Find finds the cluster that a filter has chosen for a connection, nil when there is
	// none of that name.
	Find func(name string) *cluster.Handle
	// IdleTimeout ends a connection on which nothing moves; default 1 h,
	// negative never.
	IdleTimeout time.Duration
	// MaxDuration ends a connection that is older; 0 never.
	MaxDuration time.Duration
	// HashSource balances by the peer's address.
	HashSource bool
	// ConnectAttempts is how many endpoints are tried; default 1.
	ConnectAttempts int
	Tunnel          *Tunnel         // nil: endpoints get the bytes as they are
	Observer        stream.Observer // may be nil
}

// Tunnel carries bytes behind a CONNECT, or in the content of a POST, through a proxy
// that is in the way.
type Tunnel struct {
	// Handler makes the request: a router before the proxy's cluster, which chooses
	// among several and, for a CONNECT, connects again if it has to.
	Handler stream.Handler
	// Prepare completes the request: its authority and its fields.
	Prepare func(*stream.Request)
	// Post is the path of the POST; empty makes a CONNECT.
	Post string
	// Headers and Trailers keep the answer's in the connection's state.
	Headers, Trailers bool
}

// Weighted is one of several clusters.
type Weighted struct {
	Cluster *cluster.Handle
	Weight  uint32
}
