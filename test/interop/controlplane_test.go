package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lateenmesh/lateen/proxy"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// told is what the control plane serves.
type told struct {
	port    uint32 // of the listener
	cluster string // that the route names
	web     []string
	version string
	bad     bool // a listener with a filter that nobody knows
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func socket(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

// endpointAt is an endpoint of this machine, at the port of an address.
func endpointAt(address string) *endpointv3.LbEndpoint {
	return &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket("127.0.0.1", portOf(address))}}}
}

func portOf(address string) uint32 {
	_, port, _ := net.SplitHostPort(address)
	var n uint32
	fmt.Sscan(port, &n)
	return n
}

var overADS = &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}

func (w told) snapshot(t *testing.T) *cache.Snapshot {
	t.Helper()
	filters := []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}}}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix: "web", HttpFilters: filters,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "web", ConfigSource: overADS}},
	}
	l := &listenerv3.Listener{
		Name: "web", Address: socket("127.0.0.1", w.port),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)}}}}},
	}
	if w.bad {
		l.FilterChains[0].FilterChainMatch = &listenerv3.FilterChainMatch{SuffixLen: nil, AddressSuffix: "10.0.0.0"}
	}
	route := &routev3.RouteConfiguration{Name: "web", VirtualHosts: []*routev3.VirtualHost{{
		Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: w.cluster}}},
		}},
	}}}
	c := &clusterv3.Cluster{
		Name: w.cluster, ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS},
	}
	cla := &endpointv3.ClusterLoadAssignment{ClusterName: w.cluster, Endpoints: []*endpointv3.LocalityLbEndpoints{{}}}
	for _, port := range w.web {
		cla.Endpoints[0].LbEndpoints = append(cla.Endpoints[0].LbEndpoints, endpointAt(":"+port))
	}
	s, err := cache.NewSnapshot(w.version, map[resource.Type][]types.Resource{
		resource.ClusterType: {c}, resource.EndpointType: {cla}, resource.ListenerType: {l}, resource.RouteType: {route},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Listeners, routes, clusters and endpoints of somebody else's control plane
// change live, in both variants of the protocol; what is not understood is
// refused by name and leaves the rest in force.
func TestForeignControlPlane(t *testing.T) {
	for _, variant := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(variant, func(t *testing.T) { followControlPlane(t, variant) })
	}
}

func followControlPlane(t *testing.T, variant string) {
	snapshots := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, server.NewServer(t.Context(), snapshots, nil))
	control := serveGRPC(t, g)

	v1, v2 := newBackend(t, "v1"), newBackend(t, "v2")
	address := freeAddress(t)
	var w told
	w.port = portOf(address)
	w.cluster, w.web, w.version = "one", []string{v1.port}, "1"
	tell := func() {
		t.Helper()
		if err := snapshots.SetSnapshot(t.Context(), "node", w.snapshot(t)); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	p := runWith(t, following(variant, control), proxy.Config{})
	waitFor(t, address)
	expect(t, address, "v1")

	w.web, w.version = []string{v2.port}, "2" // endpoints alone
	tell()
	expect(t, address, "v2")

	w.cluster, w.web, w.version = "two", []string{v1.port}, "3" // a route to another cluster
	tell()
	expect(t, address, "v1")

	w.bad, w.version = true, "4"
	tell()
	eventually(t, func() error {
		if nack := p.Control().Types[ads.ListenerType].Nack; !strings.Contains(nack, `listener "web": filter_chains[0].filter_chain_match.address_suffix: is not supported`) {
			return fmt.Errorf("got nack %q", nack)
		}
		return nil
	})
	expect(t, address, "v1")

	w.bad, w.version = false, "5"
	w.cluster, w.web = "three", []string{v2.port}
	tell()
	expect(t, address, "v2")
	if n := len(p.State().Clusters()); n != 2 {
		t.Errorf("got %d clusters, want the last one and the control plane's", n)
	}
}

// expect waits until the proxy's answers come from a backend.
func expect(t *testing.T, address, name string) {
	t.Helper()
	eventually(t, func() error {
		r, err := http.Get("http://" + address + "/")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		if got := r.Header.Get("X-Backend"); got != name {
			return fmt.Errorf("got %d from %q, want %s: %s", r.StatusCode, got, name, body)
		}
		return nil
	})
}

func eventually(t *testing.T, holds func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	t.Fatal(err)
}
