// Package ads asks for configuration: a control plane over Envoy's aggregated
// discovery service, delta (the default) or state of the world, or the service of
// one type, over gRPC or REST; or a file.
//
// It stands at the start of a config change inside the proxy: what arrives goes
// to a [Sink], whose answer becomes the ack or nack. The protocols themselves
// are values without I/O (delta.go, sotw.go); [Client] carries their messages over
// one of the wires (wire.go, rest.go, file.go).
package ads

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The type URLs of the resources that a proxy asks for, in the order in which
// they are asked for and answered: make before break.
const (
	ClusterType   = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType  = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType  = "type.googleapis.com/envoy.config.listener.v3.Listener"
	ScopeType     = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
	RouteType     = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	HostType      = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	ExtensionType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
	SecretType    = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	RuntimeType   = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
)

// Types lists the type URLs in their order.
var Types = [...]string{ClusterType, EndpointType, ListenerType, ScopeType, RouteType, HostType, ExtensionType, SecretType, RuntimeType}

// Everything asks for all clusters or listeners that a server has for this proxy,
// beside those that are asked for by name.
const Everything = "*"

// order is the place of a type among [Types]; unknown types come last.
func order(typeURL string) int {
	if i := slices.Index(Types[:], typeURL); i >= 0 {
		return i
	}
	return len(Types)
}

// A Ref is a resource that is asked for by its name, and who is asked.
type Ref struct {
	Name string
	// Source is who has it; empty is the aggregated control plane.
	Source string
}

// Compare orders references by name.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Name, other.Name), cmp.Compare(r.Source, other.Source))
}

// Resource is one named piece of configuration.
type Resource struct {
	// Name is the resource's name; empty in the state of the world where the
	// body alone says it.
	Name    string
	Version string
	Body    *anypb.Any
	// Aliases are further names by which it was asked for; only delta tells them.
	Aliases []string

	ttl time.Duration // how long it lives without a word of it; 0 is for ever
}

// Update is what one response says.
type Update struct {
	Source  string // who says it, as in a [Ref]
	Type    string // type URL
	Version string // of the response as a whole; informational in delta
	Set     []Resource
	// Removed names what is gone; only delta says it.
	Removed []string
	// Full is true in the state of the world: of clusters and listeners, those
	// that are not in Set are gone.
	Full bool
	// Broken is why nothing can be taken from the response; nil when it can be read.
	Broken error
}

// Sink takes updates. Its method is called from the goroutine of [Client.Run]; a sink
// of several clients has several at once.
type Sink interface {
	// Update applies what it can. An error becomes a nack with its text, which
	// names the resource and the field; what was in force for the refused
	// resource before stays. A broken update is told, too: somebody may wait for
	// the first one. Its error is the answer.
	Update(Update) error
}

// Each reads the resources of an update and calls take with each that can be read.
// whole is false when one cannot, whose name may be unknown. kind is what errors call
// a resource.
func Each[T any, M interface {
	*T
	proto.Message
}](u Update, kind string, take func(Resource, M) error) (whole bool, err error) {
	var failed []error
	whole = true
	for _, r := range u.Set {
		m := M(new(T))
		if err := r.Body.UnmarshalTo(m); err != nil {
			failed, whole = append(failed, fmt.Errorf("%s %q: %w", kind, r.Name, err)), false
			continue
		}
		failed = append(failed, take(r, m))
	}
	return whole, errors.Join(failed...)
}

// message is one request that a protocol wants sent: exactly the fields that
// both variants share, and their own.
type message struct {
	typeURL     string
	nonce       string // answers this response; empty otherwise
	problem     string // makes it a nack
	subscribe   []string
	unsubscribe []string
	initial     map[string]string // resources held from before: name to version
	version     string            // state of the world: last accepted version
	names       []string          // state of the world: all names asked for
}

// response is one answer of the server, of either variant.
type response struct {
	typeURL string
	nonce   string
	update  Update
	// alive are resources that are as they were and live on.
	alive []Resource
}

// news reports whether the response says more than that resources live on.
func (r *response) news() bool {
	return len(r.alive) == 0 || len(r.update.Set)+len(r.update.Removed) > 0 || r.update.Broken != nil
}

// protocol is one variant's rules, without I/O: what is wanted and what was
// heard go in, messages to send come out.
type protocol interface {
	// open starts a new stream: all that is wanted is asked for again.
	open() []message
	// want replaces the names asked for; none is nothing.
	want(typeURL string, names []string) []message
	// answer acknowledges a response, or refuses it when err is not nil.
	answer(r response, err error) message
	// forget takes back what was accepted of resources: they are asked for anew on
	// the next stream.
	forget(typeURL string, names []string)
}
