package translate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// envoyBinary finds a real Envoy: LATEEN_ENVOY or PATH. Without one the test
// is skipped, except in CI.
func envoyBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LATEEN_ENVOY"); path != "" {
		return path
	}
	path, err := exec.LookPath("envoy")
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no Envoy: set LATEEN_ENVOY to its binary")
	}
	t.Skip("SKIPPED: no real Envoy to ask; set LATEEN_ENVOY to its binary")
	return ""
}

// Every story's resources, as a stock Envoy gets them, are accepted by one.
func TestEnvoyAcceptsStories(t *testing.T) {
	envoy := envoyBinary(t)
	files, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(file)
			must(t, err)
			w := newWorld(t, string(story.Files[0].Data))
			w.audience.Istio, w.inbound.Istio = false, false
			config := filepath.Join(t.TempDir(), "envoy.json")
			raw, err := protojson.Marshal(w.bootstrap(t))
			must(t, err)
			must(t, os.WriteFile(config, raw, 0o600))
			out, err := exec.CommandContext(t.Context(), envoy, "--mode", "validate", "-l", "warn", "-c", config).CombinedOutput()
			if err != nil {
				t.Errorf("envoy refuses: %v\n%s", err, out)
			}
		})
	}
}

// bootstrap puts everything into one file: routes stand in their listeners,
// since a validating Envoy fetches nothing.
func (w *world) bootstrap(t *testing.T) *bootstrap.Bootstrap {
	routes := map[string]*route.RouteConfiguration{}
	for _, r := range w.routes() {
		routes[r.Name] = r
	}
	static := &bootstrap.Bootstrap_StaticResources{Clusters: append(w.clusters(), agentCluster("sds-grpc"), agentCluster("xds-grpc"))}
	for _, l := range w.listeners() {
		for _, c := range append(l.FilterChains, l.DefaultFilterChain) {
			for _, f := range c.GetFilters() {
				inlineRoute(t, f, routes)
			}
		}
		static.Listeners = append(static.Listeners, l)
	}
	return &bootstrap.Bootstrap{
		Node:            &core.Node{Id: "test", Cluster: "test"},
		StaticResources: static,
		DynamicResources: &bootstrap.Bootstrap_DynamicResources{AdsConfig: &core.ApiConfigSource{
			ApiType: core.ApiConfigSource_DELTA_GRPC, TransportApiVersion: core.ApiVersion_V3,
			GrpcServices: []*core.GrpcService{{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: "xds-grpc"}}}}}},
	}
}

func inlineRoute(t *testing.T, f *listener.Filter, routes map[string]*route.RouteConfiguration) {
	t.Helper()
	m := &hcm.HttpConnectionManager{}
	if f.GetTypedConfig().UnmarshalTo(m) != nil || m.GetRds() == nil {
		return
	}
	r, ok := routes[m.GetRds().RouteConfigName]
	if !ok {
		t.Fatalf("a listener asks for route %q, which nobody serves", m.GetRds().RouteConfigName)
	}
	m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: proto.Clone(r).(*route.RouteConfiguration)}
	f.GetTypedConfig().Value = packed(m).Value
}

func agentCluster(name string) *cluster.Cluster {
	return &cluster.Cluster{Name: name, ConnectTimeout: seconds(1), ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}}
}
