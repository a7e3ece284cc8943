// Package bootstrap says what a proxy knows when it starts: who it is, what it
// serves without asking anyone, and whom it asks for the rest.
//
// It comes from an Envoy bootstrap file ([Parse], for `lateen-proxy static`) or
// from the settings of a sidecar or gateway ([Sidecar]). Everything after it is
// the same: proxy/state compiles the resources, static or not.
package bootstrap

import (
	"cmp"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/socket"
)

// Config is what a proxy starts from.
type Config struct {
	// Node is who the proxy is.
	Node *corev3.Node
	// Admin is where the admin API listens; invalid when it does not.
	Admin socket.Address
	// Listeners, Clusters and Secrets are served from the start and never
	// change.
	Listeners []*listenerv3.Listener
	Clusters  []*clusterv3.Cluster
	Secrets   []*tlsv3.Secret
	// ADS is the aggregated control plane; nil when there is none.
	ADS *Source
	// ClusterSource and ListenerSource are who has more clusters and listeners: the
	// control plane, or a source of its own; nil is nobody.
	ClusterSource, ListenerSource *Source
	// Runtime are the layers of the runtime, and RTDS those of them that come from
	// elsewhere.
	Runtime []runtime.Layer
	RTDS    []RTDS
	// Disks are those layers that are directories.
	Disks []Disk
	// Statistics says which of Envoy's statistics are kept, by name; nil is all.
	Statistics *metricsv3.StatsMatcher
	// LocalCluster is the cluster of the proxies that are like this one; empty when it
	// is not known.
	LocalCluster string
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

// Source is who has resources and how to reach it: a server by its address, one
// behind a cluster, or a file. Equal sources are the same one.
type Source struct {
	// SotW asks for the state of the world instead of delta.
	SotW bool
	// REST asks by HTTP, as often; 0 is gRPC.
	REST time.Duration

	// File has the resources; Directory, when it is set, is where it is replaced.
	File, Directory string

	// Cluster is the static cluster through which the server is reached, and
	// Authority the host that calls name.
	Cluster, Authority string

	// Address is host:port, or unix:PATH, of a server without a cluster.
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

// String is how the source is called where people see it.
func (s *Source) String() string {
	kind := "DELTA_GRPC"
	switch {
	case s.File != "":
		return s.File
	case s.REST > 0:
		kind = "REST"
	case s.SotW:
		kind = "GRPC"
	}
	return kind + " " + cmp.Or(s.Cluster, s.Address)
}
