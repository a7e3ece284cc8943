package mesh

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// The type URLs of the resources that are served.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// Resource is one xDS resource, marshalled once and shared by every stream
// that sends it.
type Resource struct {
	Name string
	Type string // type URL
	// Version is a hash of Body: equal content has equal versions, on every
	// replica and after every restart.
	Version string
	Body    []byte // the message, marshalled deterministically
	// From lists the user's objects that the resource was made from, for
	// status and explanations.
	From []Meta
}

// NewResource marshals m.
func NewResource(name, typeURL string, m proto.Message, from ...Meta) (*Resource, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal %s %s: %w", typeURL, name, err)
	}
	return &Resource{Name: name, Type: typeURL, Version: Version(body), Body: body, From: from}, nil
}

// Version is the content hash of a resource's body: 11 characters.
func Version(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// Table is the set of resources of one type that a class of proxies sees, in
// the order of their names. The zero Table is empty.
type Table struct{ sorted []*Resource }

// NewTable takes ownership of rs. Of several resources with one name the first
// is kept.
func NewTable(rs []*Resource) *Table {
	slices.SortStableFunc(rs, func(a, b *Resource) int { return strings.Compare(a.Name, b.Name) })
	return &Table{slices.CompactFunc(rs, func(a, b *Resource) bool { return a.Name == b.Name })}
}

// Len is the number of resources.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.sorted)
}

// Get finds a resource by name.
func (t *Table) Get(name string) (*Resource, bool) {
	if t == nil {
		return nil, false
	}
	i, ok := slices.BinarySearchFunc(t.sorted, name, func(r *Resource, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return nil, false
	}
	return t.sorted[i], true
}

// All yields the resources in the order of their names.
func (t *Table) All() iter.Seq[*Resource] {
	if t == nil {
		return func(func(*Resource) bool) {}
	}
	return slices.Values(t.sorted)
}

// Snapshot is everything that one proxy should have, at one epoch: one
// consistent state of the mesh.
type Snapshot struct {
	Epoch  uint64
	Tables map[string]*Table // by type URL
}

// Feed is one connected proxy's view of its class. Its methods may be called
// from any goroutine.
type Feed interface {
	// Snapshot is the newest state. It never blocks.
	Snapshot() *Snapshot
	// Changed gets a value after Snapshot has changed; several changes may be
	// told as one.
	Changed() <-chan struct{}
	// Close releases the feed.
	Close()
}

// Publisher gives each connecting proxy its feed.
type Publisher interface {
	// Attach blocks until the first snapshot is there or says why there will
	// be none.
	Attach(Proxy) (Feed, error)
}
