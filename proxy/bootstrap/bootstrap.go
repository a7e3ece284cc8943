// Package bootstrap says what a proxy knows when it starts: who it is, what it
// serves without asking anyone, and whom it asks for the rest.
//
// It comes from an Envoy bootstrap file ([Parse], for `lateen-proxy static`) or
// from the settings of a sidecar or gateway ([Sidecar]). Everything after it is
// the same: proxy/state compiles the resources, static or not.
package bootstrap

import (
	"net/netip"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/proxy/overload"
)

// Config is what a proxy starts from.
type Config struct {
	// Node is who the proxy is.
	Node *corev3.Node
	// Admin is where the admin API listens; invalid when it does not.
	Admin netip.AddrPort
	// Listeners, Clusters and Secrets are served from the start and never
	// change.
	Listeners []*listenerv3.Listener
	Clusters  []*clusterv3.Cluster
	Secrets   []*tlsv3.Secret
	// ADS is whom to ask for more; nil when nobody is asked.
	ADS *ADS
	// Endpoints are whom to ask for the endpoints of some static clusters, by the
	// name under which they are asked for.
	Endpoints map[string]*ADS
	// MaxConnections is how many connections all listeners together may have open;
	// 0 is no limit.
	MaxConnections int64
	// Overload is what is watched beside; nil for nothing.
	Overload *overload.Config
	// Notes are old spellings that the file should no longer use.
	Notes []string
	// Drain is how long connections are let finish on shutdown; 0 means the
	// program's default.
	Drain time.Duration
	// Source is the bootstrap as a message, for the configuration dump.
	Source *bootstrapv3.Bootstrap
}

// ADS is a control plane and how to reach it.
type ADS struct {
	// SotW asks for the state of the world instead of delta.
	SotW bool
	// Clusters and Listeners say which kinds are asked for.
	Clusters, Listeners bool
	// Address is host:port, or unix:PATH.
	Address string
	// Plaintext leaves TLS out.
	Plaintext bool
	// RootFile is the PEM bundle that the server's certificate must chain to;
	// the system's roots when empty.
	RootFile string
	// CertFile and KeyFile identify the proxy; empty when a token does.
	CertFile, KeyFile string
	// ServerName is what the server's certificate must be for; the address's
	// host when empty.
	ServerName string
	// TokenFile is a bearer token, read again for each stream; none when
	// empty.
	TokenFile string
}
