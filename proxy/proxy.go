// Package proxy wires the stages of a request, from accept to reply, and of a
// configuration change inside the proxy: bootstrap, control plane, compiled
// state, listeners.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/internal/resolve"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/admin"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// Config says what a proxy is and what it stands on.
type Config struct {
	// Bootstrap is what it starts from. It belongs to the proxy: static resources
	// of which there are many are taken out of it.
	Bootstrap *bootstrap.Config
	// Secrets gives the agent's certificates, "default" and "ROOTCA"; nil when
	// all secrets come as resources.
	Secrets state.Secrets
	// Bind says where a listener's address is bound, and whether at all; nil
	// binds it as it is.
	Bind func(netip.AddrPort) (netip.AddrPort, bool)
	// Listen opens a socket, of a listener or of the admin API; nil is the operating
	// system's TCP.
	Listen func(socket.Address) (net.Listener, error)
	// Original asks where a redirected connection wanted to go; nil, or false,
	// is where it was accepted.
	Original func(net.Conn) (netip.AddrPort, bool)
	// Dial opens connections to endpoints; nil is the operating system.
	Dial pool.Dial
	// Resolve finds the addresses of DNS clusters' names; nil is the operating
	// system.
	Resolve cluster.Resolve
	// DialControl opens the connection to the control plane, resolving its
	// name; nil is the operating system.
	DialControl func(ctx context.Context, network, address string) (net.Conn, error)
	// DrainTime bounds how long connections are let finish when Run's context
	// ends; default 5 s.
	DrainTime time.Duration
	// LogFlush is how often access logs are written; default 1 s.
	LogFlush time.Duration
	// Version is the program's, for the admin API.
	Version string
	// Level, when it is set, is changed by the admin API's /logging.
	Level *slog.LevelVar
	// Include says which of Envoy's statistics are kept, by name; nil is all.
	Include func(name string) bool
	// Quit is called by the admin API's /quitquitquit; may be nil.
	Quit func()
	Log  *slog.Logger
}

// Proxy is a data plane.
type Proxy struct {
	config    Config
	listeners *listener.Set
	state     *state.State
	sources   *sources
	runtime   *runtime.Runtime
	// clusterSource and listenerSource are who is asked for these.
	clusterSource, listenerSource string
	// layers are those of the runtime that are asked for, by their resource.
	layers    map[ads.Ref]string
	telemetry *telemetry.Telemetry
	admin     *admin.Server
	pressure  *overload.Manager // nil where nothing is watched
	tidy      tidy
	// static is true when there are static listeners.
	static  bool
	ready   atomic.Bool // was so once
	started atomic.Bool // the sockets that are known from the start are open
}

// New makes a proxy of its bootstrap. A static resource that is not understood
// is an error that names it and its field.
func New(c Config) (*Proxy, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.DrainTime == 0 {
		c.DrainTime = 5 * time.Second
	}
	if c.Resolve == nil {
		c.Resolve = (&resolve.Resolver{}).Resolve
	}
	node := c.Bootstrap.Node
	self := peermetadata.Self(node.GetMetadata())
	deps := listener.Deps{Bind: c.Bind, Listen: c.Listen, Original: c.Original, MaxConnections: c.Bootstrap.MaxConnections, Log: c.Log}
	var pressure *overload.Manager
	var listeners *listener.Set
	if o := c.Bootstrap.Overload; o != nil {
		o.Log, o.Changed = c.Log, func() { listeners.Wake() }
		pressure = overload.New(*o)
		deps.Pause, deps.Reject = func() bool { return pressure.Asks(overload.StopConnections) }, func() bool { return pressure.Asks(overload.RejectConnections) }
		deps.Handshake = pressure.Timer(overload.Handshake)
	}
	listeners = listener.NewSet(deps)
	p := &Proxy{
		config:    c,
		layers:    map[ads.Ref]string{},
		pressure:  pressure,
		listeners: listeners,
		telemetry: telemetry.New(telemetry.Config{Local: self, Principal: principal(node), Version: c.Version, FlushInterval: c.LogFlush}),
	}
	sc := state.Config{
		Listeners: p.listeners,
		Clusters:  cluster.Deps{Dial: c.Dial, Resolve: c.Resolve, Log: c.Log},
		Telemetry: p.telemetry, Secrets: c.Secrets, Self: self, NodeID: node.GetId(), NodeMetadata: node.GetMetadata(), LocalCluster: c.Bootstrap.LocalCluster, Locality: locality(node),
		Service: node.GetCluster(), Overload: pressure, Log: c.Log,
	}
	p.runtime = runtime.New(c.Bootstrap.Runtime)
	sc.Runtime = p.runtime
	p.sources = p.newSources()
	sc.Want, sc.Locate = p.sources.want, p.sources.locate
	sc.Failing = func() bool { return p.admin.Failing() }
	p.state = state.New(sc)
	if err := p.state.Static(c.Bootstrap.Listeners, c.Bootstrap.Clusters, c.Bootstrap.Secrets); err != nil {
		return nil, err
	}
	if err := p.dynamic(); err != nil {
		return nil, fieldcheck.At("dynamic_resources", err)
	}
	p.release()
	if c.Include == nil {
		var err error
		if c.Include, err = compile.Statistics(c.Bootstrap.Statistics); err != nil {
			return nil, fieldcheck.At("stats_config.stats_matcher", err)
		}
	}
	p.admin = admin.New(admin.Config{
		State: p.state, Listeners: p.listeners, Control: p.Control, Metrics: p.telemetry.WritePrometheus, Node: node, Bootstrap: c.Bootstrap.Source,
		Version: c.Version, Ready: p.Ready, Drain: p.Drain, Quit: c.Quit, Level: c.Level, Include: c.Include, Overload: pressure, Runtime: p.runtime, Statistics: p.telemetry.Statistics,
	})
	return p, nil
}

// release lets go of static resources: what is needed of them has been compiled.
func (p *Proxy) release() {
	b := *p.config.Bootstrap
	p.static = len(b.Listeners) > 0
	p.tidy.after(len(b.Clusters) + len(b.Listeners))
	if len(b.Clusters) >= muchAtOnce {
		b.Source.GetStaticResources().Clusters = nil // the dump lists them by themselves
		p.config.Bootstrap.Clusters = nil
	}
	b.Listeners, b.Clusters, b.Secrets = nil, nil, nil
	p.config.Bootstrap = &b
}

// principal is the SPIFFE ID of the workload that a node's metadata names.
func principal(node *corev3.Node) string {
	f := node.GetMetadata().GetFields()
	id := model.Identity{
		TrustDomain: cmp.Or(f["TRUST_DOMAIN"].GetStringValue(), "cluster.local"),
		Namespace:   f["NAMESPACE"].GetStringValue(), ServiceAccount: f["SERVICE_ACCOUNT"].GetStringValue(),
	}
	if id.ServiceAccount == "" {
		return ""
	}
	return id.String()
}

func locality(node *corev3.Node) model.Locality {
	l := node.GetLocality()
	return model.Locality{Region: l.GetRegion(), Zone: l.GetZone(), SubZone: l.GetSubZone()}
}

// dynamic finds out who is asked for clusters and listeners.
func (p *Proxy) dynamic() error {
	b := p.config.Bootstrap
	for _, each := range []struct {
		source        *bootstrap.Source
		name          *string
		field, typeOf string
	}{{b.ClusterSource, &p.clusterSource, "cds_config", ads.ClusterType}, {b.ListenerSource, &p.listenerSource, "lds_config", ads.ListenerType}} {
		if each.source == nil {
			continue
		}
		if each.source != b.ADS {
			var err error
			if *each.name, err = p.sources.add(each.source); err != nil {
				return fieldcheck.At(each.field, err)
			}
		}
		p.sources.all[asked{*each.name, each.typeOf}] = true
	}
	for i, r := range b.RTDS {
		source := ""
		if r.Source != nil {
			var err error
			if source, err = p.sources.add(r.Source); err != nil {
				return fieldcheck.At(fmt.Sprintf("layered_runtime.layers[%d].rtds_layer.rtds_config", i), err)
			}
		}
		p.layers[ads.Ref{Name: r.Resource, Source: source}] = r.Layer
	}
	if a := b.ADS; a != nil && a.Cluster != "" && !p.sources.known(a.Cluster) {
		return fieldcheck.Refuse("ads_config.grpc_services[0].envoy_grpc.cluster_name", "there is no static cluster %q", a.Cluster)
	}
	return nil
}

// sink hands what sources say to the state, and asks for listeners once clusters
// have come: "the listeners' first request follows the clusters' first answer". An
// answer that cannot be read is one, too.
type sink struct{ p *Proxy }

// Update implements [ads.Sink].
func (s sink) Update(u ads.Update) error {
	err := u.Broken
	switch {
	case err != nil:
	case u.Type == ads.RuntimeType:
		return s.p.takeRuntime(u)
	default:
		err = s.p.state.Update(u)
		s.p.tidy.after(len(u.Set))
	}
	if u.Type == ads.ClusterType && u.Source == s.p.clusterSource && s.p.config.Bootstrap.ListenerSource != nil {
		s.p.sources.want(s.p.listenerSource, ads.ListenerType, nil)
	}
	return err
}

func (p *Proxy) serve() error {
	if err := p.state.Serve(); err != nil {
		return fmt.Errorf("serve static listeners: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then lets connections finish for the drain time.
// Static listeners serve at once, or when clusters know whom they may use.
func (p *Proxy) Run(ctx context.Context) error {
	disks, err := p.watchDisk()
	if err != nil {
		p.listeners.Close()
		return err
	}
	if disks != nil {
		defer disks.Close()
	}
	// Before any request, which may want clusters by name.
	switch b := p.config.Bootstrap; {
	case b.ClusterSource != nil:
		p.sources.want(p.clusterSource, ads.ClusterType, nil)
	case b.ListenerSource != nil:
		p.sources.want(p.listenerSource, ads.ListenerType, nil)
	}
	var unheard []<-chan struct{}
	if p.static || p.config.Bootstrap.ListenerSource == nil {
		// Listeners wait until clusters know whom they may use.
		if unheard = p.state.Unheard(); len(unheard) == 0 {
			if err := p.serve(); err != nil {
				p.listeners.Close()
				return err
			}
		}
	}
	api, err := p.listenAdmin()
	if err != nil {
		p.listeners.Close()
		return err
	}
	p.started.Store(true)
	g, running := errgroup.WithContext(ctx)
	if disks != nil {
		g.Go(func() error { return p.followDisk(running, disks) })
	}
	g.Go(func() error { return p.state.Run(running) })
	if len(unheard) > 0 {
		g.Go(func() error {
			for _, heard := range unheard {
				select {
				case <-running.Done():
					return nil
				case <-heard:
				}
			}
			return p.serve()
		})
	}
	g.Go(func() error { return p.telemetry.Run(running) })
	p.wantRuntime()
	p.sources.start(running, g)
	if p.pressure != nil {
		g.Go(func() error { p.pressure.Run(running); return nil })
	}
	if api != nil {
		g.Go(func() error { return p.serveAdmin(running, api) })
	}
	err = g.Wait()
	p.drainAll()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// listenAdmin opens the admin API's socket; nil where there is none.
func (p *Proxy) listenAdmin() (net.Listener, error) {
	address := p.config.Bootstrap.Admin
	if !address.IsValid() {
		return nil, nil
	}
	listen := p.config.Listen
	if listen == nil {
		listen = socket.Open
	}
	l, err := listen(address)
	if err != nil {
		return nil, fmt.Errorf("serve admin API: %w", err)
	}
	return l, nil
}

func (p *Proxy) serveAdmin(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: p.admin, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin API: %w", err)
	}
	return ctx.Err()
}

// drainAll ends connections at their next good moment, and waits for them.
func (p *Proxy) drainAll() {
	p.listeners.Close()
	p.listeners.Drain(nil)
	for end := time.Now().Add(p.config.DrainTime); time.Now().Before(end) && p.listeners.Active() > 0; {
		time.Sleep(10 * time.Millisecond)
	}
	p.telemetry.Flush()
}

// Handover serves a connection that somebody else accepted, as if it had come to
// the listener at address on its way to original.
func (p *Proxy) Handover(conn net.Conn, address, original netip.AddrPort) {
	p.listeners.Handover(conn, address, original)
}

// Drain asks connections to end at their next good moment: all, or those of
// inbound listeners only.
func (p *Proxy) Drain(inboundOnly bool) {
	p.listeners.Drain(func(c *listener.Config) bool { return !inboundOnly || c.Direction == listener.Inbound })
}

// Ready reports whether the proxy has got its first configuration and
// everything in it is in force. Once ready it stays so: what a later change
// waits for does not keep the rest from serving.
func (p *Proxy) Ready() bool {
	if p.ready.Load() {
		return true
	}
	ready := p.initialized()
	if ready {
		p.ready.Store(true)
	}
	return ready
}

// Serving reports whether the proxy is ready and all its sockets are open.
func (p *Proxy) Serving() bool { return p.started.Load() && p.Ready() }

func (p *Proxy) initialized() bool {
	if b := p.config.Bootstrap; b.ClusterSource != nil || b.ListenerSource != nil {
		types := p.sources.status().Types
		if b.ClusterSource != nil && answered(types, ads.ClusterType) == 0 || b.ListenerSource != nil && answered(types, ads.ListenerType) == 0 {
			return false
		}
	}
	return p.state.Ready()
}

func answered(types map[string]ads.TypeStatus, url string) uint64 {
	return types[url].Accepted + types[url].Rejected
}

// Control tells how the conversation with the control plane goes.
func (p *Proxy) Control() ads.Status { return p.sources.status() }

// State is what the proxy has been told.
func (p *Proxy) State() *state.State { return p.state }

// Admin answers Envoy's admin API, for further addresses than the bootstrap's.
func (p *Proxy) Admin() http.Handler { return p.admin }

// Addresses are where listeners are really bound, by their configured address.
func (p *Proxy) Addresses() map[socket.Address]net.Addr { return p.listeners.Addresses() }

// Active is the number of downstream connections that are served.
func (p *Proxy) Active() int64 { return p.listeners.Active() }

// ReopenLogs opens access log files anew, for log rotation.
func (p *Proxy) ReopenLogs() { p.telemetry.Reopen() }
