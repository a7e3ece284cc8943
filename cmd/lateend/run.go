package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	securityapi "istio.io/api/security/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/control/admit"
	"github.com/lateenmesh/lateen/control/ca"
	"github.com/lateenmesh/lateen/control/inject"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/control/status"
	"github.com/lateenmesh/lateen/control/xds"
	"github.com/lateenmesh/lateen/model"
)

// The limits of gRPC connections. A connection ends now and then so that
// proxies spread over replicas; coming back costs a proxy nothing, it is sent
// only what has changed.
const (
	maxRequest    = 32 << 20
	connectionAge = 30 * time.Minute
	keepAlive     = 30 * time.Second
	endWithin     = 5 * time.Second
)

// program is the running control plane: its parts, wired.
type program struct {
	settings settings
	log      *slog.Logger
	client   kubernetes.Interface

	pipeline pipeline
	xds      *xds.Server
	keeper   *ca.Keeper
	callers  *ca.Callers
	service  *ca.Service
	inject   *inject.Webhook
	admit    *admit.Webhook
	status   *status.Writer // nil when status is not written
	started  time.Time
}

// run starts the control plane and blocks until ctx ends or a part fails.
func run(ctx context.Context, s settings) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	log.Info("lateend starts", "settings", s)
	config, err := restConfig(s)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of the API server: %w", err)
	}
	var writer *status.Writer
	if s.Status {
		objects, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("make a client of the API server: %w", err)
		}
		writer = status.NewWriter(objects, log)
	}
	pipeline, err := newPipeline(s, config, client, writer, log)
	if err != nil {
		return err
	}
	p, err := assemble(ctx, s, client, pipeline, log)
	if err != nil {
		return err
	}
	p.status = writer
	return p.serve(ctx)
}

// assemble makes the parts. It needs the API server once, for the signing key,
// and waits for it.
func assemble(ctx context.Context, s settings, client kubernetes.Interface, pipeline pipeline, log *slog.Logger) (*program, error) {
	p := &program{settings: s, log: log, client: client, pipeline: pipeline, started: time.Now()}
	p.keeper = ca.NewKeeper(client, s.Namespace, s.TrustDomain, log)
	for {
		err := p.keeper.Load(ctx)
		if err == nil {
			break
		}
		log.Warn("certificate authority not loaded yet", "error", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Second):
		}
	}
	p.callers = ca.NewCallers(client, s.TrustDomain)
	p.service = ca.NewService(p.keeper.Authority, p.callers.Identify, log)
	p.xds = xds.NewServer(xds.Config{Publisher: pipeline, Authenticate: p.authenticate, Rejected: p.rejected, Relented: p.relented, Log: log})
	p.inject = inject.NewWebhook(p.injection, p.namespaceLabels, log)
	p.admit = admit.NewWebhook(pipeline.Validate, log)
	return p, nil
}

// authenticate says who opens an xDS stream: anyone without TLS, as nobody in
// particular; over TLS only who can prove an identity.
func (p *program) authenticate(ctx context.Context) (model.Identity, error) {
	if !ca.Encrypted(ctx) {
		return model.Identity{}, nil
	}
	return p.callers.Identify(ctx)
}

// serve listens and runs everything until ctx ends. Listeners are opened first,
// so that a port in use is an error at once.
func (p *program) serve(ctx context.Context) error {
	tls := p.keeper.ServerTLS(p.names())
	plain, secure := p.grpcServer(), p.grpcServer(grpc.Creds(credentials.NewTLS(tls)))
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range []struct {
		addr  string
		serve func(context.Context, net.Listener) error
	}{
		{p.settings.XDS, serveGRPC(plain)},
		{p.settings.SecureXDS, serveGRPC(secure)},
		{p.settings.Monitoring, serveHTTP(p.monitoring(), nil)},
		{p.settings.HTTP, serveHTTP(p.monitoring(), nil)},
		{p.settings.HTTPS, serveHTTP(p.webhooks(), tls)},
	} {
		if l.addr == "" {
			continue
		}
		listener, err := net.Listen("tcp", p.settings.listenOn(l.addr))
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		defer listener.Close()
		group.Go(func() error { return l.serve(ctx, listener) })
	}
	group.Go(func() error { return p.pipeline.Run(ctx) })
	group.Go(func() error { return p.xds.Run(ctx) })
	group.Go(func() error { return p.keeper.Run(ctx) })
	group.Go(func() error { return ca.NewPublisher(p.client, p.keeper, p.log).Run(ctx) })
	if p.status != nil {
		group.Go(func() error { return p.status.Run(ctx) })
	}
	if p.settings.Webhooks {
		group.Go(func() error { return p.keepWebhooks(ctx) })
	}
	p.log.Info("lateend serves", "xds", p.settings.listenOn(p.settings.SecureXDS))
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	p.log.Info("lateend has ended")
	return nil
}

// names are those under which the control plane is called.
func (p *program) names() []string {
	ns := p.settings.Namespace
	return []string{
		"istiod." + ns + ".svc", "istiod." + ns, "istiod." + ns + ".svc." + p.settings.Domain,
		"istiod-" + p.settings.Revision + "." + ns + ".svc", "istio-pilot." + ns + ".svc", "istiod-remote." + ns + ".svc", "localhost",
	}
}

func (p *program) grpcServer(more ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(xds.Codec()),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: 10 * time.Second, Time: keepAlive, Timeout: keepAlive,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepAlive / 2, PermitWithoutStream: true}),
	}, more...)...)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, p.xds)
	securityapi.RegisterIstioCertificateServiceServer(g, p.service)
	return g
}

// injection is the injector's settings of the moment.
func (p *program) injection() inject.Settings {
	s := p.settings
	config := p.pipeline.MeshConfig()
	return inject.Settings{
		Image: s.ProxyImage, Revision: s.Revision, TrustDomain: s.TrustDomain, ClusterDomain: s.Domain, KubeCluster: s.KubeCluster,
		Discovery:         config.GetDefaultConfig().GetDiscoveryAddress(),
		NoPrometheusMerge: config.GetEnablePrometheusMerge() != nil && !config.GetEnablePrometheusMerge().GetValue(),
	}
}

// pipeline is the journey of a config change, as far as lateend needs to know
// it.
type pipeline interface {
	mesh.Publisher
	// Run derives resources until its context ends.
	Run(ctx context.Context) error
	// Ready reports whether all inputs were read once.
	Ready() bool
	// MeshConfig is the mesh's settings of the moment; nil before they are read.
	MeshConfig() *mesh.Config
	// Validate checks one object by itself.
	Validate(*unstructured.Unstructured) (warnings []string, err error)
}
