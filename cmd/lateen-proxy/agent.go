package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lateenmesh/lateen/agent/certs"
	"github.com/lateenmesh/lateen/agent/dns"
	"github.com/lateenmesh/lateen/agent/probe"
	"github.com/lateenmesh/lateen/agent/redirect"
	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/socket"
)

// The agent's ports.
const (
	adminPort      = 15000
	healthPort     = 15020
	readinessPort  = 15021
	prometheusPort = 15090
)

// The pod's files.
const (
	rootFile  = "/var/run/secrets/istio/root-cert.pem"
	tokenFile = "/var/run/secrets/tokens/istio-token"
)

// runAgent runs a sidecar or gateway until ctx ends: the proxy, and the agent
// that keeps it alive and brings it traffic.
func runAgent(ctx context.Context, s settings) error {
	log, levels, err := logger(s.LogLevel)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "lateen-proxy settings:", s)
	for _, name := range s.Ignored {
		log.Warn("setting has no effect", "setting", name)
	}
	concurrency(s.Concurrency)
	a := newAgent(s, log)
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	if err := a.wire(levels, quit); err != nil {
		return err
	}
	return outlive(ctx, a.run, a.drain)
}

// drain lets others finish what they do here: from now on connections end at
// their next good moment, and new ones are still served.
func (a *agent) drain() {
	a.log.Info("proxy drains", "for", a.settings.Drain.Time)
	a.proxy.Drain(!a.settings.Gateway)
	a.settings.Drain.wait(a.proxy.Active)
}

// agent is a sidecar or gateway: its parts, wired.
type agent struct {
	settings settings
	log      *slog.Logger
	resolver dns.Resolver
	certs    *certs.Source
	explicit *redirect.Explicit // nil when the kernel redirects
	proxy    *proxy.Proxy
	probe    *probe.Server
}

func newAgent(s settings, log *slog.Logger) *agent {
	a := &agent{settings: s, log: log, resolver: dns.Resolver{Server: s.Nameserver}}
	if s.Nameserver.IsValid() {
		a.resolver.Search = dns.Search(s.Namespace, domainOf(s.Domain))
	}
	if s.Explicit {
		a.explicit = &redirect.Explicit{
			Pod: s.IP, Apps: s.Apps, LowPorts: s.LowPorts, Proxy: !s.Gateway, Resolve: a.resolver.Lookup, Log: log,
		}
	}
	a.certs = certs.NewSource(certs.Config{
		RSA: s.RSA, RootFile: s.path(rootFile), Log: log,
		Signer: certs.Client{
			Address: s.Authority, RootFile: s.path(rootFile), TokenFile: s.path(tokenFile),
			Dial: func(ctx context.Context, address string) (net.Conn, error) { return a.dial(ctx, "tcp", address) },
		},
	})
	return a
}

// domainOf is the cluster's domain in NAMESPACE.svc.DOMAIN.
func domainOf(domain string) string {
	if _, rest, ok := strings.Cut(domain, ".svc."); ok {
		return rest
	}
	return "cluster.local"
}

// wire makes the proxy and what answers for it.
func (a *agent) wire(levels *slog.LevelVar, quit func()) error {
	s := a.settings
	start, err := bootstrap.Sidecar(a.bootstrap())
	if err != nil {
		return fmt.Errorf("make the bootstrap: %w", err)
	}
	include, err := s.Stats.matcher(s.Annotations)
	if err != nil {
		return err
	}
	config := proxy.Config{
		Include: include, Bootstrap: start, Secrets: secrets{a.certs, a.certs.Changed()}, Log: a.log, Level: levels, Quit: quit, Version: version,
		Resolve: a.resolve, DialControl: a.dial, DrainTime: time.Millisecond, // we have drained by then
	}
	if a.explicit != nil {
		config.Bind, config.Dial = a.explicit.Bind, a.dialUpstream
	}
	if a.proxy, err = proxy.New(config); err != nil {
		return err
	}
	if a.explicit != nil {
		a.explicit.Handover = a.proxy.Handover
	}
	a.probe = probe.NewServer(probe.Config{
		Ready: a.ready, Probers: s.Probers, Scrape: s.Scrape, Stats: a.stats, Quit: quit, Log: a.log, Dial: a.dialApp,
		Expiry: a.expiry, Drain: func() { a.proxy.Drain(!s.Gateway) },
	})
	return nil
}

func (a *agent) bootstrap() bootstrap.Settings {
	s := a.settings
	out := bootstrap.Settings{
		Gateway: s.Gateway, IP: s.IP, Pod: s.Pod, Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, Domain: s.Domain,
		Labels: s.Labels, Annotations: s.Annotations, Workload: s.Workload, Owner: s.Owner, Metadata: s.Metadata, Version: version,
		Admin: socket.Address{AddrPort: a.own(s.AdminPort)},
		ADS:   bootstrap.Source{Address: s.Discovery, RootFile: s.path(rootFile), TokenFile: s.path(tokenFile), Plaintext: strings.HasSuffix(s.Discovery, ":15010")},
	}
	if a.explicit != nil && !s.Gateway {
		out.HTTPProxyPort = redirect.ProxyPort
	}
	return out
}

// own is where one of the agent's ports is bound: on the pod's address in the
// explicit mode, else on every address; the admin API on loopback only.
func (a *agent) own(port uint16) netip.AddrPort {
	addr := netip.IPv4Unspecified()
	if port == a.settings.AdminPort {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	at := netip.AddrPortFrom(addr, port)
	if a.explicit != nil {
		at, _ = a.explicit.Bind(at)
	}
	return at
}

// run runs all parts until ctx ends.
func (a *agent) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.certs.Run(ctx) })
	group.Go(func() error { return a.proxy.Run(ctx) })
	group.Go(func() error { return reopenOnSignal(ctx, a.proxy) })
	group.Go(func() error { return settle(ctx, func() bool { return a.ready() == nil }) })
	if a.explicit != nil {
		group.Go(func() error { return a.explicit.Run(ctx) })
	}
	for port, handler := range map[uint16]http.Handler{
		a.settings.StatusPort: a.probe.Handler(), readinessPort: a.probe.Readiness(), prometheusPort: a.metricsOnly(),
	} {
		group.Go(func() error { return serveHTTP(ctx, a.own(port), handler) })
	}
	a.log.Info("proxy starts", "pod", a.settings.Pod, "namespace", a.settings.Namespace, "control_plane", a.settings.Discovery)
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// expiry is when the workload's certificate ends.
func (a *agent) expiry() time.Time {
	secret, _ := a.certs.Secret(certs.Default)
	return secret.NotAfter
}

func (a *agent) ready() error {
	if _, ok := a.certs.Secret(certs.Default); !ok {
		return fmt.Errorf("no certificate from %s yet", a.settings.Authority)
	}
	if !a.proxy.Ready() {
		return fmt.Errorf("no configuration from %s yet", a.settings.Discovery)
	}
	return nil
}

// metricsOnly answers port 15090: the proxy's metrics and nothing else.
func (a *agent) metricsOnly() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /stats/prometheus", a.proxy.Admin())
	return mux
}

// stats writes the proxy's metrics.
func (a *agent) stats(w io.Writer) {
	req, err := http.NewRequest(http.MethodGet, "/stats/prometheus", nil)
	if err != nil {
		return // the path is a constant
	}
	a.proxy.Admin().ServeHTTP(&answer{Writer: w, header: http.Header{}}, req)
}

// answer is a response of which only the body matters.
type answer struct {
	io.Writer
	header http.Header
}

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(int) {}

// secrets hands the agent's certificates to the proxy.
type secrets struct {
	source  *certs.Source
	changed <-chan struct{}
}

// Secret gives PEM texts.
func (s secrets) Secret(name string) (chain, key, roots []byte, ok bool) {
	secret, ok := s.source.Secret(name)
	return secret.Chain, secret.Key, secret.Roots, ok
}

// Changed gets a value after a secret has changed.
func (s secrets) Changed() <-chan struct{} { return s.changed }

// dialTimeout bounds connections that the agent makes for itself.
const dialTimeout = 10 * time.Second

// dial connects to a service of the cluster by name: the control plane.
func (a *agent) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	addrs, err := a.resolver.Lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	number, err := netip.ParseAddrPort(net.JoinHostPort(addrs[0].String(), port))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, network, a.target(number).String())
}

// dialUpstream is how the proxy reaches endpoints in the explicit mode.
func (a *agent) dialUpstream(ctx context.Context, network, address string, source net.Addr) (net.Conn, error) {
	if at, err := netip.ParseAddrPort(address); err == nil {
		address = a.target(at).String()
	}
	return pool.NetDial(ctx, network, address, source)
}

// dialApp connects to the application beside the proxy.
func (a *agent) dialApp(ctx context.Context, network, address string) (net.Conn, error) {
	return a.dialUpstream(ctx, network, address, nil)
}

func (a *agent) target(at netip.AddrPort) netip.AddrPort {
	if a.explicit == nil {
		return at
	}
	return a.explicit.Target(at)
}

// resolve serves clusters that are resolved by DNS.
func (a *agent) resolve(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	return a.resolver.Resolve(ctx, name)
}

// serveHTTP serves on an address until ctx ends.
func serveHTTP(ctx context.Context, at netip.AddrPort, h http.Handler) error {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("serve the agent's port: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %v: %w", at, err)
	}
	return nil
}
