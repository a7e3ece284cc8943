// Package compile turns Envoy's resources into the runtime form of the stages:
// clusters, endpoints, route tables, listeners with their filter chains.
//
// It stands between what a control plane sent and what requests meet: a
// function of values, without I/O. A setting that is not understood is an error
// that names its field (fields.go), and becomes a nack.
package compile

import (
	"log/slog"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// Compiler knows what compiled resources refer to.
type Compiler struct {
	// Secrets is where TLS contexts find theirs.
	Secrets *credential.Store
	// Handle gives the stable handle of a cluster by name.
	Handle func(name string) *cluster.Handle
	// Lookup finds the handle of a cluster that is named by a request; nil when
	// there is none.
	Lookup func(name string) *cluster.Handle
	// Locate says who has resources of a type that are asked for by name; nil is the
	// aggregated control plane for all.
	Locate func(at *corev3.ConfigSource, typeURL string) (source string, err error)
	// Self is this proxy's workload, NodeID its name on the wire.
	Self   stream.Peer
	NodeID string
	// NodeMetadata is the node's, nil for none.
	NodeMetadata *structpb.Struct
	// Service is the node's cluster: what the proxy is called where its workload is
	// not known.
	Service string
	// Failing is true while health checks are to fail; nil is never.
	Failing func() bool
	// Overload says what is left out under pressure; nil is nothing.
	Overload *overload.Manager
	// Demand asks a source for a cluster that a request goes to; nil is nobody.
	Demand func(source, name string) *cluster.Handle
	// Runtime has the settings that are named by a key; nil has none.
	Runtime *runtime.Runtime
	// Telemetry makes observers of access logs and metrics.
	Telemetry *telemetry.Telemetry
	Log       *slog.Logger

	peers peermetadata.Peers
	// told is what this proxy tells of its workload on connections whose ends have
	// agreed to; made by exchangeOf.
	told struct {
		sync.Once
		exchange *peermetadata.Exchange
		err      error
	}
}

// locate is a resource by its name and who has it.
func (c *Compiler) locate(at *corev3.ConfigSource, typeURL, name string) (ads.Ref, error) {
	r := ads.Ref{Name: name}
	if c.Locate == nil || at == nil {
		return r, nil
	}
	var err error
	r.Source, err = c.Locate(at, typeURL)
	return r, err
}
