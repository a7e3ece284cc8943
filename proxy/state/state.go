// Package state is what a proxy has been told: it takes resources, static ones
// and those of the control plane, compiles them beside the running ones and
// swaps them in.
//
// It is the last step of a config change and decides what of it requests meet:
// a listener serves when its routes and certificates are there, a cluster when
// its endpoints are; until then what it replaces goes on. A change touches what
// it changes and nothing else.
package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/state/watch"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// Listeners is where compiled listeners are put in force; [listener.Set] is
// one.
type Listeners interface {
	Update([]*listener.Config) map[string]error
}

// Secrets gives the certificates that the proxy's own agent keeps: "default"
// and "ROOTCA".
type Secrets interface {
	// Secret gives PEM texts; ok is false while there is no such secret.
	Secret(name string) (chain, key, roots []byte, ok bool)
	// Changed gets a value after a secret has changed.
	Changed() <-chan struct{}
}

// Own are the names of the secrets that the agent keeps.
var own = []string{"default", "ROOTCA"}

// Config is what a state needs of its surroundings.
type Config struct {
	Listeners Listeners
	Clusters  cluster.Deps
	Telemetry *telemetry.Telemetry
	// Secrets may be nil: then all secrets come as resources.
	Secrets Secrets
	// Want tells a source which names of a type are of interest; the empty source is
	// the aggregated control plane. It does not keep the names. It is nil when nobody
	// is asked.
	Want func(source, typeURL string, names []string)
	// Locate says who has resources of a type that are asked for by name; nil is the
	// aggregated control plane for all.
	Locate func(at *corev3.ConfigSource, typeURL string) (source string, err error)
	// LocalCluster is the cluster of the proxies that are like this one; empty when it
	// is not known.
	LocalCluster string
	// Locality is where this proxy is.
	Locality model.Locality
	// Self and NodeID are who this proxy is.
	Self   stream.Peer
	NodeID string
	// NodeMetadata is the node's, nil for none.
	NodeMetadata *structpb.Struct
	// Service is the node's cluster.
	Service string
	// Failing is true while health checks are to fail; nil is never.
	Failing func() bool
	// Runtime has the settings that configurations name by a key; nil has none.
	Runtime *runtime.Runtime
	// Overload says what is left out under pressure; nil is nothing.
	Overload *overload.Manager
	Log      *slog.Logger
}

// State holds the resources. Its methods may be called from any goroutine.
type State struct {
	config   Config
	compiler *compile.Compiler
	secrets  *credential.Store

	handlesMu sync.RWMutex // guards what follows
	handles   map[string]*cluster.Handle
	passing   map[string]bool // of the handles, those that only requests have named

	mu            sync.Mutex // guards what follows
	clusters      map[string]*clusterEntry
	services      map[ads.Ref]map[*clusterEntry]bool // clusters by the service whose endpoints they use
	endpoints     map[ads.Ref]*raw                   // by service
	listeners     map[string]*listenerEntry
	scopes        map[string]*scopeSet // by source
	routes        map[ads.Ref]*raw
	hosts         map[ads.Ref]*hostSet       // by route configuration
	tables        map[ads.Ref]*hostTable     // by their name and source
	extensions    map[ads.Ref]*raw           // configurations of filters
	lacking       map[ads.Ref]bool           // those that whoever was asked does not have
	bodies        map[ads.Ref]*raw           // secrets
	files         map[ads.Ref]*tlsv3.Secret  // secrets that name files
	watch         *watch.Watch               // of these files; nil before the first one
	absent        map[ads.Ref]bool           // secrets that whoever was asked does not have
	demanded      demands                    // clusters
	demandedHosts demands                    // virtual hosts
	asked         map[string]map[string]bool // sources that have been asked, by type URL
	stale         bool                       // what is of interest may have changed since it was asked for
	serving       bool                       // listeners may be put in force
	background    context.Context            // Run's; nil before
	running       sync.WaitGroup             // resolving clusters
}

// New makes an empty state.
func New(c Config) *State {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Want == nil {
		c.Want = func(string, string, []string) {}
	}
	s := &State{
		config: c, secrets: credential.NewStore(),
		handles: map[string]*cluster.Handle{}, passing: map[string]bool{}, clusters: map[string]*clusterEntry{}, services: map[ads.Ref]map[*clusterEntry]bool{}, endpoints: map[ads.Ref]*raw{},
		listeners: map[string]*listenerEntry{}, scopes: map[string]*scopeSet{}, routes: map[ads.Ref]*raw{}, hosts: map[ads.Ref]*hostSet{}, tables: map[ads.Ref]*hostTable{},
		extensions: map[ads.Ref]*raw{}, lacking: map[ads.Ref]bool{}, bodies: map[ads.Ref]*raw{}, absent: map[ads.Ref]bool{}, files: map[ads.Ref]*tlsv3.Secret{},
		demanded: newDemands(), demandedHosts: newDemands(), asked: map[string]map[string]bool{},
	}
	if c.Locate != nil {
		s.secrets.Locate = func(name string, at *corev3.ConfigSource) (string, error) {
			if s.agents(name) {
				return "", nil
			}
			return c.Locate(at, ads.SecretType)
		}
	}
	s.compiler = &compile.Compiler{
		Secrets: s.secrets, Handle: s.handle, Lookup: s.lookup, Self: c.Self, NodeID: c.NodeID, NodeMetadata: c.NodeMetadata, Service: c.Service, Telemetry: c.Telemetry, Locate: c.Locate, Demand: s.demand, Failing: c.Failing, Overload: c.Overload, Runtime: c.Runtime, Log: c.Log,
	}
	if c.LocalCluster != "" {
		s.config.Clusters.Near = &cluster.Near{Proxies: s.handle(c.LocalCluster), Locality: c.Locality}
	}
	s.takeOwn()
	return s
}

// handle gives the stable reference to a cluster that a configuration names. It need
// not exist yet.
func (s *State) handle(name string) *cluster.Handle { return s.reference(name, true) }

// reference gives the stable reference to a cluster. Once a configuration has named it
// there is one for ever.
func (s *State) reference(name string, named bool) *cluster.Handle {
	s.handlesMu.Lock()
	defer s.handlesMu.Unlock()
	h := s.handles[name]
	if h == nil {
		name = strings.Clone(name) // it may lie in a message, or in a connection's buffer
		h = cluster.NewHandle(name)
		s.handles[name] = h
		if !named {
			s.passing[name] = true
		}
	} else if named {
		delete(s.passing, name)
	}
	return h
}

// lookup finds the reference to a cluster that something has named before.
func (s *State) lookup(name string) *cluster.Handle {
	s.handlesMu.RLock()
	defer s.handlesMu.RUnlock()
	return s.handles[name]
}

// Cluster is a cluster in force; nil when there is none of that name.
func (s *State) Cluster(name string) *cluster.Cluster {
	if h := s.lookup(name); h != nil {
		return h.Load()
	}
	return nil
}

// Static puts resources in force that never change. A resource that is not
// understood is an error that names it and its field.
func (s *State) Static(listeners []*listenerv3.Listener, clusters []*clusterv3.Cluster, secrets []*tlsv3.Secret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []error
	for _, m := range secrets {
		failed = append(failed, s.setSecret(ads.Ref{Name: m.GetName()}, staticRaw(m), m))
	}
	for _, m := range clusters {
		failed = append(failed, s.setCluster(m.GetName(), staticRaw(m), m))
	}
	for _, m := range listeners {
		m = named(m)
		failed = append(failed, s.setListener(m.GetName(), staticRaw(m), m))
	}
	s.want()
	return errors.Join(failed...)
}

func staticRaw(m proto.Message) *raw {
	body, err := anypb.New(m)
	if err != nil {
		body = &anypb.Any{} // only invalid UTF-8 gets here, which was refused when it was read
	}
	return &raw{body: body, updated: time.Now(), static: true}
}

// Update takes what the control plane says, as an [ads.Sink] does, of updates that are
// not broken.
func (s *State) Update(u ads.Update) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch u.Type {
	case ads.ClusterType:
		err = s.updateClusters(u)
	case ads.EndpointType:
		err = s.updateEndpoints(u)
	case ads.ListenerType:
		err = s.updateListeners(u)
	case ads.ScopeType:
		err = s.updateScopes(u)
	case ads.HostType:
		err = s.updateHosts(u)
	case ads.RouteType:
		err = s.updateRoutes(u)
	case ads.SecretType:
		err = s.updateSecrets(u)
	case ads.ExtensionType:
		err = s.updateExtensions(u)
	default:
		return fmt.Errorf("resources of type %s were not asked for", u.Type)
	}
	s.stale = s.stale || u.Type == ads.ClusterType || u.Type == ads.ListenerType || u.Type == ads.ScopeType || u.Type == ads.ExtensionType
	s.settle()
	return err
}

// settle asks for what is of interest now if that may have changed.
func (s *State) settle() {
	if s.stale {
		s.stale = false
		s.want()
	}
}

// want tells the control plane what is of interest now.
func (s *State) want() {
	var eds, srds, rds, sds, ecds []ads.Ref
	for _, e := range s.clusters {
		for _, c := range e.versions() {
			if c.EDS.Name != "" {
				eds = append(eds, c.EDS)
			}
			sds = append(sds, c.Secrets...)
		}
	}
	for _, e := range s.listeners {
		for _, l := range e.versions() {
			sds = append(sds, l.Secrets...)
		}
	}
	for m := range s.managers() {
		rds, ecds, sds = append(rds, m.Routes()...), append(ecds, m.Extensions()...), append(sds, m.Secrets()...)
		if m.Scoping != nil && m.Scoping.Discovered {
			srds = append(srds, ads.Ref{Name: ads.Everything, Source: m.Scoping.Source})
		}
	}
	sds = slices.DeleteFunc(sds, s.local)
	eds, srds, rds, sds, ecds = set(eds), set(srds), set(rds), set(sds), set(ecds)
	s.ask(ads.EndpointType, eds)
	s.ask(ads.ScopeType, srds)
	s.ask(ads.RouteType, rds)
	s.ask(ads.ExtensionType, ecds)
	s.ask(ads.SecretType, sds)
	forget(s.endpoints, eds)
	maps.DeleteFunc(s.scopes, func(source string, _ *scopeSet) bool {
		return !among(srds, ads.Ref{Name: ads.Everything, Source: source})
	})
	forget(s.routes, rds)
	s.forgetHosts(rds)
	s.ask(ads.HostType, s.hostRefs())
	forget(s.extensions, ecds)
	maps.DeleteFunc(s.lacking, func(ref ads.Ref, _ bool) bool { return !among(ecds, ref) })
	s.forgetSecrets(sds)
}

// ask tells each source what is wanted of it, and those of before that it is
// nothing any more.
func (s *State) ask(typeURL string, wanted []ads.Ref) {
	names := map[string][]string{"": nil}
	for source := range s.asked[typeURL] {
		names[source] = nil
	}
	for _, r := range wanted {
		names[r.Source] = append(names[r.Source], r.Name)
	}
	s.asked[typeURL] = map[string]bool{}
	for source, list := range names {
		s.config.Want(source, typeURL, list)
		if len(list) > 0 {
			s.asked[typeURL][source] = true
		}
	}
}

func set(names []ads.Ref) []ads.Ref {
	slices.SortFunc(names, ads.Ref.Compare)
	return slices.Compact(names)
}

// forget drops resources that nobody refers to any more; wanted is sorted.
func forget(have map[ads.Ref]*raw, wanted []ads.Ref) {
	maps.DeleteFunc(have, func(ref ads.Ref, r *raw) bool { return !r.static && !among(wanted, ref) })
}

func among(sorted []ads.Ref, ref ads.Ref) bool {
	_, found := slices.BinarySearchFunc(sorted, ref, ads.Ref.Compare)
	return found
}

// Serve lets listeners into force: those that are ready now, and each that
// becomes so. It returns what went wrong with static listeners' sockets.
func (s *State) Serve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = true
	return s.applyListeners()
}

// Run keeps the agent's secrets up to date and DNS clusters resolved, until
// ctx ends.
func (s *State) Run(ctx context.Context) error {
	s.mu.Lock()
	s.background = ctx
	for _, e := range s.clusters {
		s.resolve(e)
	}
	for _, e := range s.listeners {
		s.fallBackLater(e)
	}
	for name, set := range s.hosts {
		s.settleLater(name, set)
	}
	s.mu.Unlock()
	defer s.running.Wait()
	defer s.unwatch()
	var changed <-chan struct{}
	if s.config.Secrets != nil {
		changed = s.config.Secrets.Changed()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			s.mu.Lock()
			s.takeOwn()
			s.warmAll()
			s.settle()
			s.mu.Unlock()
		}
	}
}

func (s *State) unwatch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch != nil {
		s.watch.Close()
	}
}

// warmAll puts in force what only waited for a secret.
func (s *State) warmAll() {
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		s.warmCluster(s.clusters[name])
	}
	if err := s.warmListeners(); err != nil {
		s.config.Log.Error("listeners not in force", "error", err)
	}
}

// Ready reports whether everything that the proxy was told is in force.
func (s *State) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.clusters {
		if e.live == nil {
			return false
		}
	}
	for _, e := range s.listeners {
		if e.active == nil {
			return false
		}
	}
	return s.serving
}
