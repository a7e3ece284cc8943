package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/bootstrap"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// Whoever is to be asked must be there: a proxy does not start with a source that it
// could never reach.
func TestSourcesAreThere(t *testing.T) {
	const cluster = "static_resources: {clusters: [{name: xds, connect_timeout: 1s, type: STATIC, load_assignment: {cluster_name: xds}}%s]}\n"
	const asks = "{api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: %s}}]}}"
	static := func(more string) string { return strings.ReplaceAll(cluster, "%s", more) }
	source := func(name string) string { return strings.ReplaceAll(asks, "%s", name) }
	eds := func(from string) string {
		return static(", {name: web, connect_timeout: 1s, type: EDS, eds_cluster_config: {eds_config: " + from + "}}")
	}
	for _, c := range []struct{ name, in, wrong string }{
		{"clusters from a server", static("") + "dynamic_resources: {cds_config: " + source("xds") + "}", ""},
		{"clusters from nobody", static("") + "dynamic_resources: {cds_config: " + source("other") + "}", `dynamic_resources.cds_config.api_config_source: there is no static cluster "other"`},
		{"a control plane that is nobody", static("") + "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: other}}]}}",
			`dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: there is no static cluster "other"`},
		{"endpoints from a server", eds(source("xds")), ""},
		{"endpoints from a file", eds("{path: /eds.yaml}"), ""},
		{"endpoints from nobody", eds(source("other")), `cluster "web": eds_cluster_config.eds_config.api_config_source: there is no static cluster "other"`},
		{"endpoints from a control plane that there is not", eds("{ads: {}}"), `cluster "web": eds_cluster_config.eds_config.ads: the bootstrap has no ads_config to ask`},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := bootstrap.Parse([]byte(c.in))
			if err == nil {
				_, err = New(Config{Bootstrap: config, Log: slog.New(slog.DiscardHandler)})
			}
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
		})
	}
}

// A bootstrap with all that Istio's agent writes into one is taken.
func TestIstiosBootstrap(t *testing.T) {
	config, err := bootstrap.Load("testdata/istio-bootstrap.yaml")
	if err == nil {
		_, err = New(Config{Bootstrap: config, Log: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		t.Error(err)
	}
}

// wishes is a source that only notes what is wanted of it.
type wishes map[string][]string

func (w wishes) Want(url string, names []string) { w[url] = names }
func (w wishes) Run(ctx context.Context) error   { <-ctx.Done(); return ctx.Err() }
func (w wishes) Status() (none ads.Status)       { return none }

// Whoever is configured to have clusters is asked for everything beside those that
// requests name, and nobody else is.
func TestEverythingIsAskedOfOne(t *testing.T) {
	const more = "static_resources: {clusters: [{name: xds, connect_timeout: 1s, type: STATIC, load_assignment: {cluster_name: xds}}]}\n" +
		"dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}, cds_config: %s}"
	const server = "{api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}"
	for _, c := range []struct {
		name, clusters, demanded string // who has clusters, and who is asked for one
		names                    string
	}{
		{"the control plane", "{ads: {}}", "", "* far"},
		{"the control plane beside a file", "{path: /cds.yaml}", "", "far"},
		{"the same server", server, "GRPC xds", "* far"},
		{"another server", "{ads: {}}", "GRPC xds", "far"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := bootstrap.Parse([]byte(fmt.Sprintf(more, c.clusters)))
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(Config{Bootstrap: config})
			if err != nil {
				t.Fatal(err)
			}
			asked := map[string]wishes{"": {}}
			p.sources.control = asked[""]
			p.sources.make = func(_ bootstrap.Source, name, _ string) client {
				asked[name] = wishes{}
				return asked[name]
			}
			p.sources.want(c.demanded, ads.ClusterType, []string{"far"})
			if got := strings.Join(asked[c.demanded][ads.ClusterType], " "); got != c.names {
				t.Errorf("asked for %s, want %s", got, c.names)
			}
		})
	}
}

// Clusters that cannot be read do not hold up the listeners, which wait for those of
// the source of all clusters, not for what requests ask of others.
func TestBrokenClusters(t *testing.T) {
	config, err := bootstrap.Parse([]byte("dynamic_resources: {cds_config: {path: /cds.yaml}, lds_config: {path: /lds.yaml}}"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Bootstrap: config})
	if err != nil {
		t.Fatal(err)
	}
	asked := wishes{}
	p.sources.make = func(_ bootstrap.Source, name, _ string) client { return asked }
	if err := (sink{p}).Update(ads.Update{Source: "other", Type: ads.ClusterType}); err != nil || len(asked) > 0 {
		t.Errorf("asked for %v after an answer of somebody else, %v", asked, err)
	}
	broken := errors.New("line 1")
	if err := (sink{p}).Update(ads.Update{Source: "/cds.yaml", Type: ads.ClusterType, Broken: broken}); err != broken {
		t.Errorf("got %v, want what is wrong", err)
	}
	if got := asked[ads.ListenerType]; !slices.Equal(got, []string{ads.Everything}) {
		t.Errorf("asked for listeners %q, want all", got)
	}
}

// What is spoken over TLS is what the other side is told.
func TestProtocolOfSource(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	chosen := make(chan string, 1)
	config, err := bootstrap.Parse([]byte(`
static_resources:
  clusters:
  - name: xds
    connect_timeout: 1s
    type: STATIC
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 443}}}}]}]}
    transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Bootstrap: config, Dial: func(context.Context, string, string, net.Addr) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			server := tls.Server(far, &tls.Config{Certificates: certificate.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
			_ = server.Handshake() // the other side tells
			chosen <- server.ConnectionState().NegotiatedProtocol
			_, _ = io.Copy(io.Discard, far)
		}()
		return near, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for want, from := range map[string]bootstrap.Source{"h2": {Cluster: "xds"}, "http/1.1": {Cluster: "xds", REST: time.Second}} {
		conn, err := p.server(&from).Dial(t.Context(), "tcp", "xds")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := <-chosen; got != want {
			t.Errorf("%s: got %q, want %q", &from, got, want)
		}
	}
}

// Connections to a control plane count as a cluster's others do.
func TestConnectionsToTheControlPlaneCount(t *testing.T) {
	n := memnet.New()
	l, err := n.Listen("10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := cluster.New(&cluster.Config{PerHost: 1, Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.1:80")}}}, cluster.Deps{Dial: n.Dial})
	var p Proxy
	for range 2 {
		conn, err := p.dialHost(t.Context(), c, c.Hosts()[0], "h2")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Stats.CxActive.Load(); got != 1 {
			t.Errorf("%d are active; want one", got)
		}
		if _, err := p.dialHost(t.Context(), c, c.Hosts()[0], "h2"); err == nil {
			t.Error("there may be a second one")
		}
		conn.Close()
		if got := c.Stats.CxActive.Load(); got != 0 {
			t.Errorf("%d are active at the end", got)
		}
	}
}

// Virtual hosts are asked for by delta.
func TestHostsByDelta(t *testing.T) {
	const xds = "{api_type: %s, transport_api_version: V3, %s}"
	server := "grpc_services: [{envoy_grpc: {cluster_name: xds}}]"
	for _, variant := range []string{"GRPC", "DELTA_GRPC"} {
		config, err := bootstrap.Parse([]byte("dynamic_resources: {ads_config: " + fmt.Sprintf(xds, variant, server) + "}\nstatic_resources: {clusters: [{name: xds, type: STATIC}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(Config{Bootstrap: config})
		if err != nil {
			t.Fatal(err)
		}
		ofServer := func(k corev3.ApiConfigSource_ApiType) *corev3.ConfigSource {
			return &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
				ApiType: k, ClusterNames: []string{"xds"}, TransportApiVersion: corev3.ApiVersion_V3,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "xds"}}}},
			}}}
		}
		for _, each := range []struct {
			at   *corev3.ConfigSource
			fine bool
		}{
			{&corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}, variant == "DELTA_GRPC"},
			{&corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Path{Path: "/hosts.yaml"}}, false},
			{ofServer(corev3.ApiConfigSource_DELTA_GRPC), true},
			{ofServer(corev3.ApiConfigSource_GRPC), false},
			{ofServer(corev3.ApiConfigSource_REST), false},
		} {
			_, err := p.sources.locate(each.at, ads.HostType)
			if each.fine != (err == nil) || err != nil && !strings.Contains(err.Error(), "virtual hosts are told by delta only") {
				t.Errorf("%s, %v: got %v", variant, each.at, err)
			}
			if _, err := p.sources.locate(each.at, ads.RouteType); err != nil {
				t.Errorf("routes: %v", err)
			}
		}
	}
}
