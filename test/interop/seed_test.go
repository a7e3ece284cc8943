package interop

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	endpointservice "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/lateenmesh/lateen/proxy/bootstrap"
)

// oldFile is a bootstrap as people wrote them for Envoy 1.10: one listener, and
// clusters in the spelling of the v2 API.
func oldFile(address, clusters string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`
admin:
  access_log_path: /tmp/admin_access.log
  address:
    socket_address: { address: 127.0.0.1, port_value: 0 }
static_resources:
  listeners:
  - name: listener_0
    address:
      socket_address:
        protocol: TCP
        address: %s
        port_value: %s
    filter_chains:
    - filters:
      - name: envoy.http_connection_manager
        config:
          stat_prefix: ingress_http
          route_config:
            name: local_route
            virtual_hosts:
            - name: local_service
              domains: ["*"]
              routes:
              - match:
                  prefix: "/"
                route:
                  cluster: docker-project-service
          http_filters:
          - name: envoy.router
  clusters:
%s`, host, port, clusters)
}

// The files of many tutorials, in the v2 spelling, run as they stand: with hosts
// in place, and with endpoints from a gRPC server.
func TestOldBootstraps(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	t.Run("static", func(t *testing.T) {
		address := freeAddress(t)
		runOld(t, oldFile(address, fmt.Sprintf(`
  - name: docker-project-service
    connect_timeout: 0.25s
    type: STATIC
    lb_policy: ROUND_ROBIN
    hosts: [
    { socket_address: { address: 127.0.0.1, port_value: %s }},
    { socket_address: { address: 127.0.0.1, port_value: %s }}
    ]`, one.port, two.port)))
		waitFor(t, address)
		seen := map[string]bool{}
		for range 4 {
			seen[askOld(t, address)] = true
		}
		if !seen["one"] || !seen["two"] {
			t.Errorf("answered by %v; want both in turn", seen)
		}
	})
	t.Run("EDS from a gRPC server", func(t *testing.T) {
		snapshots := cache.NewSnapshotCache(false, everybody{}, nil)
		g := grpc.NewServer()
		endpointservice.RegisterEndpointDiscoveryServiceServer(g, server.NewServer(t.Context(), snapshots, nil))
		control := serveGRPC(t, g)
		tell := func(version string, b *backend) {
			cla := &endpointv3.ClusterLoadAssignment{ClusterName: "docker-project-service", Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{endpointAt(":" + b.port)}}}}
			s, err := cache.NewSnapshot(version, map[resource.Type][]types.Resource{resource.EndpointType: {cla}})
			if err == nil {
				err = snapshots.SetSnapshot(t.Context(), "all", s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tell("1", one)
		address := freeAddress(t)
		runOld(t, oldFile(address, fmt.Sprintf(`
  - name: docker-project-service
    connect_timeout: 0.25s
    lb_policy: ROUND_ROBIN
    type: EDS
    eds_cluster_config:
      eds_config:
        api_config_source:
          api_type: GRPC
          cluster_names: [xds_cluster]
  - name: xds_cluster
    connect_timeout: 0.25s
    type: STATIC
    lb_policy: ROUND_ROBIN
    http2_protocol_options: {}
    hosts: [{ socket_address: { address: 127.0.0.1, port_value: %d }}]`, portOf(control))))
		waitFor(t, address)
		answered := func(by string) func() error {
			return func() error {
				if got := askOld(t, address); got != by {
					return fmt.Errorf("answered by %s", got)
				}
				return nil
			}
		}
		eventually(t, answered("one"))
		tell("2", two)
		eventually(t, answered("two"))
	})
}

// everybody is one group of nodes.
type everybody struct{}

// ID implements cache.NodeHash.
func (everybody) ID(*corev3.Node) string { return "all" }

func runOld(t *testing.T, text string) {
	t.Helper()
	if config, err := bootstrap.Parse([]byte(text)); err != nil || len(config.Notes) == 0 {
		t.Error("no note says that the spelling is old:", err)
	}
	runOurs(t, text)
}

// askOld tells who answered.
func askOld(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("x-backend")
}
