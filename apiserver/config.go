package apiserver

import (
	"log/slog"
	"net/netip"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Config says what a [Server] keeps and serves. The zero value is an API in
// memory with the built-in kinds, reachable in process and on a free loopback port.
type Config struct {
	// Dir holds the journal, the keys and the token. Empty keeps everything in memory.
	Dir string
	// Listen is the address that [Server.Run] serves HTTPS on. Default 127.0.0.1:0, a free port.
	Listen string
	// Names are further DNS names and addresses that the server's certificate is valid for,
	// besides localhost, 127.0.0.1 and kubernetes.default.svc.
	Names []string
	// CRDs are served from the start. They are written over those that Dir has.
	CRDs []*apiextensionsv1.CustomResourceDefinition
	// Admission sees every write. Its zero value admits everything unchanged.
	Admission Admission
	// Containers answers logs, exec, attach and port-forward; nil refuses these.
	Containers Containers
	// ServiceCIDR is where cluster IPs come from, such as 127.64.128.0/17. The zero
	// value leaves spec.clusterIP of services as it is and allots no node ports.
	ServiceCIDR netip.Prefix
	// NodePorts is the first and last node port. Default 30000 to 32767.
	NodePorts [2]int32
	// NodePortFree reports whether a node port may be allotted: on a machine that
	// others use too, a port may be theirs. Nil allots any. Ports that users name
	// are theirs to choose.
	NodePortFree func(port int32) bool
	// NodePortStart is where the search for a free node port starts. APIs whose node
	// ports are on one machine start apart. Default a third into NodePorts.
	NodePortStart int32
	// WatchWindow is how many events of one resource a late watcher may still ask for. Default 4096.
	WatchWindow int
	// History is how many revisions of one object are kept. Default 16.
	History int
	// BookmarkInterval is how often an idle watch that asked for it is told the
	// current revision. Default one minute.
	BookmarkInterval time.Duration
	// Log gets what goes wrong inside the server. Nil discards it.
	Log *slog.Logger
}
