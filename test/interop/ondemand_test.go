package interop

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A cluster that nobody has heard of is asked for by the request that goes there, which
// waits for it; one that there is not is answered for. Envoy does the same.
func TestClustersOnDemand(t *testing.T) {
	t.Run("ours", func(t *testing.T) { demandClusters(t, runOurs) })
	t.Run("Envoy", func(t *testing.T) { demandClusters(t, runEnvoy, firstOnly) })
}

// firstOnly leaves out what comes after the first cluster: with this server Envoy 1.39
// hears of no second one.
const firstOnly = true

func demandClusters(t *testing.T, run runner, first ...bool) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	clusters := cache.NewLinearCache(resource.ClusterType)
	tell := func(name string, b *backend) {
		t.Helper()
		err := clusters.UpdateResource(name, &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(time.Second), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{endpointAt(":" + b.port)}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tell("one", one)
	tell("fixed", two)
	g := grpc.NewServer()
	clusterservice.RegisterClusterDiscoveryServiceServer(g, server.NewServer(t.Context(), clusters, nil))
	control := serveGRPC(t, g)

	address := freeAddress(t)
	run(t, "node: {id: me, cluster: us}"+static(web{
		name: "web", address: address, table: "validate_clusters: false",
		filters: `
- name: on_demand
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand
    odcds:
      timeout: 1s
      source: {resource_api_version: V3, api_config_source: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}`,
		routes: `
- {match: {prefix: /fixed}, route: {cluster: fixed}}
- {match: {prefix: /never}, route: {cluster: one, prefix_rewrite: /}, typed_per_filter_config: {on_demand: {"@type": type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.PerRouteConfig}}}
- {match: {prefix: /}, route: {cluster_header: x-cluster}}`,
	}.String(), upstream("xds", control, speakHTTP2)))
	waitFor(t, address)
	asked := func(path, cluster, want string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cluster != "" {
			req.Header.Set("x-cluster", cluster)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("x-backend")); got != want {
			t.Errorf("%s, cluster %q: got %s, want %s", path, cluster, got, want)
		}
	}
	asked("/never", "", "503 ")
	asked("/", "one", "200 one")
	asked("/", "other", "503 ")
	asked("/", "", "503 ")
	if len(first) > 0 {
		return
	}
	asked("/fixed", "", "200 two")
	tell("other", two)
	asked("/", "other", "200 two")
	tell("one", two)
	eventually(t, func() error {
		resp, err := http.Get("http://" + address + "/never")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if got := resp.Header.Get("x-backend"); got != "two" {
			return fmt.Errorf("answered by %s", got)
		}
		return nil
	})
}
