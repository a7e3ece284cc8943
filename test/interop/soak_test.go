package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lateenmesh/lateen/proxy"
)

var soak = flag.Duration("soak", 2*time.Second, "how long TestNoRequestIsLost changes things under load")

// world is what the control plane of the soak tells: everything in it changes.
type world struct {
	plain, secure uint32       // ports
	ups           []string     // addresses
	certs         [2][2]string // files of two certificates and their keys
	step          int
}

// snapshot is the world at a step: each kind of resource has its own rhythm.
func (w *world) snapshot(t *testing.T) *cache.Snapshot {
	active := []string{"one", "two"}[w.step/3%2]
	manager := func() *anypb.Any {
		return packed(t, &hcmv3.HttpConnectionManager{
			StatPrefix:     fmt.Sprintf("web-%d", w.step/2),
			HttpFilters:    []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}}},
			RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "web", ConfigSource: overADS}},
		})
	}
	listener := func(name string, port uint32) *listenerv3.Listener {
		return &listenerv3.Listener{Name: name, Address: socket("127.0.0.1", port), FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager()}}}}}}
	}
	secure := listener("secure", w.secure)
	secure.FilterChains[0].TransportSocket = &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, &tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{AlpnProtocols: []string{"h2", "http/1.1"}, TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "cert", SdsConfig: overADS}}},
	})}}
	var clusters, assignments []types.Resource
	for _, name := range []string{"one", "two"} {
		options := &upstreamv3.HttpProtocolOptions{UpstreamProtocolOptions: &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}}}}
		clusters = append(clusters, &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(time.Second + time.Duration(w.step/5)*time.Millisecond),
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}, EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS},
			TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(t, options)},
		})
		cla := &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{}}}
		for i, up := range w.ups {
			if (w.step+i)%3 != 0 {
				cla.Endpoints[0].LbEndpoints = append(cla.Endpoints[0].LbEndpoints, endpointAt(up))
			}
		}
		assignments = append(assignments, cla)
	}
	route := &routev3.RouteConfiguration{Name: "web", VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: active}, Timeout: durationpb.New(0)}},
	}}}}}
	file := func(i int) *corev3.DataSource {
		text, err := os.ReadFile(w.certs[w.step/4%2][i])
		if err != nil {
			t.Fatal(err)
		}
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: text}}
	}
	secret := &tlsv3.Secret{Name: "cert", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: file(0), PrivateKey: file(1)}}}
	s, err := cache.NewSnapshot(fmt.Sprint(w.step), map[resource.Type][]types.Resource{
		resource.ClusterType: clusters, resource.EndpointType: assignments, resource.ListenerType: {listener("plain", w.plain), secure}, resource.RouteType: {route}, resource.SecretType: {secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// While endpoints, routes, clusters, listeners and certificates change every
// 100 ms, no request is lost: over HTTP/1.1, HTTP/2, TLS, and on streams of gRPC.
func TestNoRequestIsLost(t *testing.T) {
	w := &world{}
	service := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(service, interop.NewTestServer())
	for range 3 {
		up := httptest.NewServer(h2c.NewHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
				service.ServeHTTP(rw, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				rw.WriteHeader(500)
				return
			}
			_, _ = rw.Write(body)
		}), &http2.Server{}))
		t.Cleanup(up.Close)
		w.ups = append(w.ups, up.Listener.Addr().String())
	}
	var h hop
	for i := range w.certs {
		w.certs[i][0], w.certs[i][1] = h.certificate(t)
	}
	plain, secure := freeAddress(t), freeAddress(t)
	w.plain, w.secure = portOf(plain), portOf(secure)

	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	control := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(control, server.NewServer(t.Context(), snapshots, nil))
	address := serveGRPC(t, control)
	tell := func() {
		if err := snapshots.SetSnapshot(t.Context(), "node", w.snapshot(t)); err != nil {
			t.Fatal(err)
		}
		w.step++
	}
	tell()
	runWith(t, following("DELTA_GRPC", address), proxy.Config{Log: slog.New(slog.DiscardHandler)})
	waitFor(t, plain)
	waitFor(t, secure)
	expectOK(t, "http://"+plain)

	loads := newLoads(t, plain, secure)
	var all sync.WaitGroup
	for _, one := range loads.each {
		all.Go(func() { loads.run(one) })
	}
	for end := time.Now().Add(*soak); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		tell()
	}
	loads.stop.Store(true)
	all.Wait()
	for name, l := range loads.each {
		t.Logf("%s: %d requests, %d lost", name, l.done.Load(), l.lost.Load())
		if l.done.Load() == 0 {
			t.Errorf("%s: nothing was asked", name)
		}
	}
	t.Logf("%d changes", w.step)
}

func expectOK(t *testing.T, url string) {
	t.Helper()
	eventually(t, func() error {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// loads are the kinds of requests that are made all the time.
type loads struct {
	t    *testing.T
	stop atomic.Bool
	each map[string]*load
}

type load struct {
	name       string
	ask        func() error
	done, lost atomic.Int64
}

func (l *loads) run(one *load) {
	for !l.stop.Load() {
		if err := one.ask(); err != nil {
			if one.lost.Add(1) <= 3 {
				l.t.Errorf("%s: %v", one.name, err)
			}
		}
		one.done.Add(1)
		time.Sleep(2 * time.Millisecond) // a constant load, not all that the machine gives
	}
}

func newLoads(t *testing.T, plain, secure string) *loads {
	l := &loads{t: t, each: map[string]*load{}}
	add := func(name string, ask func() error) { l.each[name] = &load{name: name, ask: ask} }
	insecureTLS := &tls.Config{InsecureSkipVerify: true} // certificates change under the clients
	content := bytes.Repeat([]byte("x"), 1<<10)
	for name, c := range map[string]struct {
		url  string
		trip http.RoundTripper
	}{
		"HTTP/1.1":          {"http://" + plain, &http.Transport{MaxIdleConnsPerHost: 4}},
		"HTTP/1.1 over TLS": {"https://" + secure, &http.Transport{TLSClientConfig: insecureTLS.Clone()}},
		"HTTP/2": {"http://" + plain, &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}},
		"HTTP/2 over TLS": {"https://" + secure, &http2.Transport{TLSClientConfig: insecureTLS.Clone()}},
	} {
		for _, method := range []string{"GET", "PUT"} {
			add(name+" "+method, func() error {
				var body io.Reader
				if method == "PUT" {
					body = bytes.NewReader(content)
				}
				req, _ := http.NewRequest(method, c.url, body)
				resp, err := c.trip.RoundTrip(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 || method == "PUT" && !bytes.Equal(got, content) {
					return fmt.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(got), err)
				}
				return nil
			})
		}
	}
	conn, err := grpc.NewClient("passthrough:///"+plain, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	tc := testgrpc.NewTestServiceClient(conn)
	add("gRPC unary", func() error {
		_, err := tc.EmptyCall(context.Background(), &testgrpc.Empty{})
		return err
	})
	add("gRPC stream", func() error { return pingPong(tc) })
	return l
}

// pingPong is a stream that lives through several changes.
func pingPong(tc testgrpc.TestServiceClient) error {
	stream, err := tc.FullDuplexCall(context.Background())
	if err != nil {
		return err
	}
	for range 20 {
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 100}}}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}
