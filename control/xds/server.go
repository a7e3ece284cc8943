package xds

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Config says what a [Server] serves, and to whom.
type Config struct {
	// Publisher gives each proxy its resources.
	Publisher mesh.Publisher
	// Authenticate says who opens a stream. An error refuses the stream; the
	// zero identity is an anonymous caller, who gets no secrets. Nil lets
	// everyone in, anonymously.
	Authenticate func(context.Context) (model.Identity, error)
	// Rejected is told of every refusal; nil is nobody.
	Rejected func(mesh.Proxy, Rejection)
	// Relented is told when a proxy takes newer versions of resources that it
	// had refused; nil is nobody.
	Relented func(mesh.Proxy, []*mesh.Resource)
	// Patience is how long listeners and routes wait for a client to ask for
	// the endpoints of a new cluster; 0 is one second.
	Patience time.Duration
	// Log gets what happens to streams; nil discards it.
	Log *slog.Logger
}

// Server is the aggregated discovery service. Register it on a gRPC server
// that was made with [Codec]:
//
//	g := grpc.NewServer(grpc.ForceServerCodecV2(xds.Codec()))
//	discovery.RegisterAggregatedDiscoveryServiceServer(g, server)
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	config  Config
	metrics *metrics
	ending  chan struct{} // closed when Run ends, under mu
	wait    sync.WaitGroup

	mu      sync.Mutex
	serial  int
	streams map[int]*stream // guarded by mu; by serial number
}

// NewServer makes a server. [Server.Run] must be running while it serves.
func NewServer(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Patience == 0 {
		c.Patience = time.Second
	}
	if c.Authenticate == nil {
		c.Authenticate = func(context.Context) (model.Identity, error) { return model.Identity{}, nil }
	}
	return &Server{config: c, metrics: newMetrics(), ending: make(chan struct{}), streams: map[int]*stream{}}
}

// Run blocks until ctx ends, then ends every stream and waits for them.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	close(s.ending)
	s.mu.Unlock()
	s.wait.Wait()
	return nil
}

// StreamAggregatedResources implements the state-of-the-world variant.
func (s *Server) StreamAggregatedResources(g discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(g, StateOfTheWorld, func() (*core.Node, Request, error) {
		r, err := g.Recv()
		if err != nil {
			return nil, Request{}, err
		}
		return r.GetNode(), Request{
			Type: r.GetTypeUrl(), Nonce: r.GetResponseNonce(), Nack: r.GetErrorDetail() != nil,
			Error: r.GetErrorDetail().GetMessage(), Names: r.GetResourceNames(),
		}, nil
	})
}

// DeltaAggregatedResources implements the incremental variant.
func (s *Server) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(g, Delta, func() (*core.Node, Request, error) {
		r, err := g.Recv()
		if err != nil {
			return nil, Request{}, err
		}
		return r.GetNode(), Request{
			Type: r.GetTypeUrl(), Nonce: r.GetResponseNonce(), Nack: r.GetErrorDetail() != nil,
			Error: r.GetErrorDetail().GetMessage(), Subscribe: r.GetResourceNamesSubscribe(),
			Unsubscribe: r.GetResourceNamesUnsubscribe(), Have: r.GetInitialResourceVersions(),
		}, nil
	})
}

// receive reads one request in either variant.
type receive func() (*core.Node, Request, error)

// serve runs one stream, from the client's first request to its end.
func (s *Server) serve(g grpc.ServerStream, v Variant, recv receive) error {
	node, first, err := recv()
	if err != nil {
		return err
	}
	proxy, caller, err := s.welcome(g.Context(), node)
	if err != nil {
		s.metrics.refusedStreams.Inc("")
		s.config.Log.Warn("stream refused", "node", node.GetId(), "error", err)
		return err
	}
	feed, err := s.config.Publisher.Attach(proxy)
	if err != nil {
		return status.Errorf(codes.Unavailable, "no configuration for proxy %s: %v", proxy.ID, err)
	}
	defer feed.Close()
	st := &stream{server: s, grpc: g, variant: v, proxy: proxy, caller: caller, feed: feed, opened: time.Now()}
	st.planner = NewPlanner(v, st.view())
	serial, err := s.connect(st)
	if err != nil {
		return err
	}
	defer s.disconnect(serial)
	return st.run(first, recv)
}

// welcome finds out which proxy opens a stream and whether it may.
func (s *Server) welcome(ctx context.Context, node *core.Node) (mesh.Proxy, model.Identity, error) {
	caller, err := s.config.Authenticate(ctx)
	if err != nil {
		return mesh.Proxy{}, caller, status.Error(codes.Unauthenticated, err.Error())
	}
	proxy, err := ProxyOf(node)
	if err != nil {
		return proxy, caller, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := Admit(caller, proxy); err != nil {
		return proxy, caller, status.Error(codes.PermissionDenied, err.Error())
	}
	return proxy, caller, nil
}

func (s *Server) connect(st *stream) (int, error) {
	s.metrics.connections.Inc("")
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ending:
		return 0, errStopping
	default:
	}
	s.serial++
	s.streams[s.serial] = st
	s.wait.Add(1)
	return s.serial, nil
}

func (s *Server) disconnect(serial int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, serial)
	s.wait.Done()
}

// connected lists the open streams in the order of their proxies' names.
func (s *Server) connected() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.streams), func(a, b *stream) int { return strings.Compare(a.name(), b.name()) })
}
