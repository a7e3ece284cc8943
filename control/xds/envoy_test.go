package xds

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/control/mesh"
)

// envoyWorld is one listener on port that answers by route from cluster name,
// which has addr as its only endpoint.
func envoyWorld(t *testing.T, port uint32, name, addr string) *mesh.Snapshot {
	t.Helper()
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ads := &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3, ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
	socket := func(host string, port uint32) *core.Address {
		return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
			Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
		}}}
	}
	host, p, _ := net.SplitHostPort(addr)
	var n uint32
	_, _ = fmt.Sscan(p, &n)
	manager := &hcm.HttpConnectionManager{
		StatPrefix:     "test",
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: "80", ConfigSource: ads}},
		HttpFilters:    []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(&router.Router{})}}},
	}
	snap := &mesh.Snapshot{Tables: map[string]*mesh.Table{}}
	add := func(url, name string, m proto.Message) {
		r, err := mesh.NewResource(name, url, m)
		if err != nil {
			t.Fatal(err)
		}
		snap.Tables[url] = mesh.NewTable([]*mesh.Resource{r})
	}
	add(mesh.ClusterType, name, &cluster.Cluster{
		Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS}, EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: ads},
	})
	add(mesh.EndpointType, name, &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: socket(host, n)}}}},
	}}})
	add(mesh.ListenerType, "l", &listener.Listener{Name: "l", Address: socket("127.0.0.1", port), FilterChains: []*listener.FilterChain{{
		Filters: []*listener.Filter{{Name: "hcm", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(manager)}}},
	}}})
	add(mesh.RouteType, "80", &route.RouteConfiguration{Name: "80", VirtualHosts: []*route.VirtualHost{{
		Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
			Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
			Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: name}}},
		}},
	}}})
	return snap
}

const envoyBootstrap = `
node: {id: "sidecar~127.0.0.1~cart-1.shop~shop.svc.cluster.local", cluster: cart}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
`

// A real Envoy (named by LATEEN_ENVOY) is configured by this server, and sees
// no failed request while the one cluster behind its route is replaced by
// another, again and again.
func TestRealEnvoy(t *testing.T) {
	envoy := os.Getenv("LATEEN_ENVOY")
	if envoy == "" {
		t.Skip("set LATEEN_ENVOY to the path of an Envoy to run this")
	}
	for _, api := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(api, func(t *testing.T) { envoyFollows(t, envoy, api) })
	}
}

func envoyFollows(t *testing.T, envoy, api string) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	backend, xdsListener, free := listen(), listen(), listen()
	port := uint32(free.Addr().(*net.TCPAddr).Port)
	_ = free.Close()
	var running sync.WaitGroup
	defer running.Wait()
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
	running.Go(func() { _ = web.Serve(backend) })
	defer web.Close()

	b := &board{snap: envoyWorld(t, port, "c0", backend.Addr().String())}
	var refused sync.Map
	s := NewServer(Config{Publisher: b, Rejected: func(_ mesh.Proxy, r Rejection) { refused.Store(r.Text, true) }})
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
	discovery.RegisterAggregatedDiscoveryServiceServer(g, s)
	ctx, cancel := context.WithCancel(t.Context())
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { _ = g.Serve(xdsListener) })
	defer g.Stop()
	defer cancel()

	config := filepath.Join(t.TempDir(), "envoy.yaml")
	text := fmt.Sprintf(envoyBootstrap, api, xdsListener.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(envoy, "-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	until(t, "the first answer", func() bool { return fetch(url) == nil })
	for i := 1; i <= 20; i++ {
		b.set(envoyWorld(t, port, fmt.Sprintf("c%d", i), backend.Addr().String()))
		until(t, "an acknowledgement of everything", func() bool {
			if err := fetch(url); err != nil {
				t.Fatalf("change %d: %v\n%s", i, err, log.String())
			}
			lines := s.Syncz()
			return len(lines) == 1 && lines[0].Synced
		})
	}
	refused.Range(func(text, _ any) bool { t.Errorf("Envoy refused: %v", text); return true })
}

func fetch(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "hello") {
		return fmt.Errorf("status %d, body %q, %v", resp.StatusCode, body, err)
	}
	return nil
}

// until asks another process, whose time is real.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(15 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("not seen in time: " + what)
		}
	}
}
