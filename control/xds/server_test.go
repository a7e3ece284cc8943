package xds

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// board is a publisher whose one snapshot the test sets.
type board struct {
	mu    sync.Mutex
	snap  *mesh.Snapshot
	feeds []*boardFeed
}

type boardFeed struct {
	board   *board
	changed chan struct{}
}

func (b *board) Attach(mesh.Proxy) (mesh.Feed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &boardFeed{b, make(chan struct{}, 1)}
	b.feeds = append(b.feeds, f)
	return f, nil
}

func (b *board) set(snap *mesh.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.snap = snap
	for _, f := range b.feeds {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

func (f *boardFeed) Snapshot() *mesh.Snapshot {
	f.board.mu.Lock()
	defer f.board.mu.Unlock()
	return f.board.snap
}
func (f *boardFeed) Changed() <-chan struct{} { return f.changed }
func (f *boardFeed) Close()                   {}

// clusters makes a snapshot of clusters with these names; "*" after a name
// makes other content.
func clusters(t *testing.T, names ...string) *mesh.Snapshot {
	t.Helper()
	var rs []*mesh.Resource
	for _, name := range names {
		bare := strings.TrimSuffix(name, "*")
		r, err := mesh.NewResource(bare, mesh.ClusterType, &cluster.Cluster{Name: bare, AltStatName: name})
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	secret := &mesh.Resource{Name: "kubernetes://cert", Type: mesh.SecretType, Version: "s"}
	return &mesh.Snapshot{Tables: map[string]*mesh.Table{
		mesh.ClusterType: mesh.NewTable(rs), mesh.SecretType: mesh.NewTable([]*mesh.Resource{secret}),
	}}
}

// start serves c in memory and gives a client.
func start(t *testing.T, c Config) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	return startServer(t, NewServer(c), grpc.ForceServerCodecV2(Codec()))
}

func startServer(t *testing.T, s *Server, options ...grpc.ServerOption) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	g := grpc.NewServer(options...)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, s)
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Serve(listener) })
	running.Go(func() { _ = s.Run(ctx) })
	conn, err := grpc.NewClient("passthrough:x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
		g.Stop()
		running.Wait()
	})
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

var node = &core.Node{
	Id: "sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local",
	Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"SERVICE_ACCOUNT": structpb.NewStringValue("cart"),
	}},
}

type deltaClient struct {
	t *testing.T
	discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func delta(t *testing.T, c discovery.AggregatedDiscoveryServiceClient) deltaClient {
	t.Helper()
	st, err := c.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return deltaClient{t, st}
}

func (c deltaClient) send(r *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	r.Node = node
	if r.TypeUrl == "" {
		r.TypeUrl = mesh.ClusterType
	}
	if err := c.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next response: its names, removed ones with "-", and the
// versions for a later connection.
func (c deltaClient) receive() (names []string, nonce string, versions map[string]string) {
	c.t.Helper()
	r, err := c.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	versions = map[string]string{}
	for _, res := range r.Resources {
		names = append(names, res.Name)
		versions[res.Name] = res.Version
	}
	for _, name := range r.RemovedResources {
		names = append(names, "-"+name)
	}
	return names, r.Nonce, versions
}

// A killed control plane whose successor knows the same resends nothing, not
// even to a proxy that asks with every version that it holds.
func TestRestartResendsNothing(t *testing.T) {
	first := delta(t, start(t, Config{Publisher: &board{snap: clusters(t, "a", "b")}}))
	first.send(&discovery.DeltaDiscoveryRequest{})
	names, nonce, versions := first.receive()
	if diff := cmp.Diff(names, []string{"a", "b"}); diff != "" {
		t.Fatalf("first answer (-got +want):\n%s", diff)
	}
	first.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: nonce})

	b := &board{snap: clusters(t, "a", "b")}
	second := delta(t, start(t, Config{Publisher: b}))
	second.send(&discovery.DeltaDiscoveryRequest{InitialResourceVersions: versions})
	// The answer to a type that follows shows that nothing was said before it.
	second.send(&discovery.DeltaDiscoveryRequest{TypeUrl: mesh.ListenerType})
	r, err := second.Recv()
	if err != nil || r.TypeUrl != mesh.ListenerType {
		t.Fatalf("got %v, %v; want only the answer for listeners", r, err)
	}
	second.send(&discovery.DeltaDiscoveryRequest{TypeUrl: mesh.ListenerType, ResponseNonce: r.Nonce})
	b.set(clusters(t, "a*", "b", "c"))
	names, _, _ = second.receive()
	if diff := cmp.Diff(names, []string{"a", "c"}); diff != "" {
		t.Errorf("difference after the restart (-got +want):\n%s", diff)
	}
}

// A refusal is reported with the resource and the client's words, and so is
// its end.
func TestRejected(t *testing.T) {
	told, relented := make(chan Rejection, 1), make(chan []*mesh.Resource, 1)
	b := &board{snap: clusters(t, "a", "b")}
	c := delta(t, start(t, Config{
		Publisher: b,
		Rejected:  func(_ mesh.Proxy, r Rejection) { told <- r },
		Relented:  func(_ mesh.Proxy, rs []*mesh.Resource) { relented <- rs },
	}))
	c.send(&discovery.DeltaDiscoveryRequest{})
	_, nonce, _ := c.receive()
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: nonce, ErrorDetail: &status.Status{Message: "cluster b: no"}})
	r := <-told
	if r.Text != "cluster b: no" || len(r.Culprits) != 1 || r.Culprits[0].Name != "b" {
		t.Errorf("told %+v, want cluster b refused in the client's words", r)
	}
	names, nonce, _ := c.receive()
	if len(names) != 1 || names[0] != "a" {
		t.Errorf("then sent %v, want a alone", names)
	}
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: nonce})
	b.set(clusters(t, "a", "b*"))
	_, nonce, _ = c.receive()
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: nonce})
	if rs := <-relented; len(rs) != 1 || rs[0].Name != "b" {
		t.Errorf("relented %v, want b", rs)
	}
}

func TestStateOfTheWorldStream(t *testing.T) {
	b := &board{snap: clusters(t, "a", "b")}
	st, err := start(t, Config{Publisher: b}).StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 1} {
		r := &discovery.DiscoveryRequest{Node: node, TypeUrl: mesh.ClusterType}
		if want == 1 {
			r.ResponseNonce = "1"
		}
		if err := st.Send(r); err != nil {
			t.Fatal(err)
		}
		resp, err := st.Recv()
		if err != nil || len(resp.Resources) != want || resp.VersionInfo == "" {
			t.Fatalf("got %v, %v; want %d resources and a version", resp, err, want)
		}
		b.set(clusters(t, "c"))
	}
}

// Who may open a stream, and who sees secrets.
func TestWelcome(t *testing.T) {
	cart := model.Identity{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "cart"}
	for _, c := range []struct {
		name   string
		caller model.Identity
		err    error
		code   codes.Code
		secret string
	}{
		{"the proxy itself", cart, nil, codes.OK, "kubernetes://cert"},
		{"an anonymous caller", model.Identity{}, nil, codes.OK, "-kubernetes://cert"},
		{"another account", model.Identity{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "x"}, nil, codes.PermissionDenied, ""},
		{"another namespace", model.Identity{TrustDomain: "cluster.local", Namespace: "x", ServiceAccount: "cart"}, nil, codes.PermissionDenied, ""},
		{"a bad token", model.Identity{}, errors.New("token expired"), codes.Unauthenticated, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := delta(t, start(t, Config{
				Publisher:    &board{snap: clusters(t)},
				Authenticate: func(context.Context) (model.Identity, error) { return c.caller, c.err },
			}))
			st.send(&discovery.DeltaDiscoveryRequest{TypeUrl: mesh.SecretType, ResourceNamesSubscribe: []string{"kubernetes://cert"}})
			if c.code != codes.OK {
				_, err := st.Recv()
				if got := grpcstatus.Code(err); got != c.code {
					t.Errorf("stream ends with %v, want %v", err, c.code)
				}
				return
			}
			if names, _, _ := st.receive(); len(names) != 1 || names[0] != c.secret {
				t.Errorf("got %v, want %v", names, c.secret)
			}
		})
	}
}

func TestProxyOf(t *testing.T) {
	full := &core.Node{
		Id:            "sidecar~10.0.0.1~cart-1.shop~shop.svc.cluster.local",
		UserAgentName: "lateen-proxy",
		Locality:      &core.Locality{Region: "r", Zone: "z"},
	}
	full.Metadata, _ = structpb.NewStruct(map[string]any{
		"NAME": "cart-1", "NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart", "CLUSTER_ID": "Kubernetes", "WORKLOAD_NAME": "cart",
		"INSTANCE_IPS": "10.0.0.1,fd00::1", "HTTP_PROXY_PORT": "15080", "LABELS": map[string]any{"app": "cart"},
	})
	got, err := ProxyOf(full)
	want := mesh.Proxy{
		Type: mesh.Sidecar, ID: full.Id, Addresses: []string{"10.0.0.1", "fd00::1"}, Name: "cart-1", Namespace: "shop",
		ServiceAccount: "cart", Labels: map[string]string{"app": "cart"}, Domain: "shop.svc.cluster.local", KubeCluster: "Kubernetes",
		Locality: model.Locality{Region: "r", Zone: "z"}, Workload: "cart", HTTPProxyPort: 15080, Istio: true,
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("proxy (-got +want):\n%s", diff)
	}
	for _, id := range []string{"", "sidecar~1.1.1.1~x", "ztunnel~1.1.1.1~a.b~c", "sidecar~1.1.1.1~nodot~c"} {
		if p, err := ProxyOf(&core.Node{Id: id}); err == nil {
			t.Errorf("id %q is read as %+v, want an error", id, p)
		}
	}
}
