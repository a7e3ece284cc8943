package bootstrap

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/runtime"
)

const static = `
node: {id: here}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}}
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
  clusters:
  - name: xds
    type: STATIC
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 18000}}}}]}]
`

// A bootstrap's control plane is reached where its cluster says.
func TestParse(t *testing.T) {
	c, err := Parse([]byte(static))
	if err != nil {
		t.Fatal(err)
	}
	if c.Node.GetId() != "here" || c.Admin.String() != "127.0.0.1:9901" || len(c.Listeners) != 1 {
		t.Errorf("got node %v, admin %v, %d listeners", c.Node, c.Admin, len(c.Listeners))
	}
	want := Source{Cluster: "xds", Authority: "xds"}
	if c.ADS == nil || *c.ADS != want || c.ClusterSource != c.ADS || c.ListenerSource != nil {
		t.Errorf("got control plane %+v, want %+v for clusters", c.ADS, want)
	}
}

// Timers are squeezed to a minimum or to a part.
func TestTimers(t *testing.T) {
	c, err := Parse([]byte(`
overload_manager:
  resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}]
  actions:
  - name: envoy.overload_actions.reduce_timeouts
    triggers: [{name: m, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.9}}]
    typed_config:
      "@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig
      timer_scale_factors: [{timer: HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 5s}, {timer: TRANSPORT_SOCKET_CONNECT, min_scale: {value: 10}}]`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Overload.Timers
	if got[overload.Idle].Least != 5*time.Second || got[overload.Handshake].Part != 0.1 || got[overload.Stream] != nil || got[overload.Age] != nil {
		t.Errorf("got %+v", got)
	}
}

// What is not understood is refused by name.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a field that does not exist", "nodes: {}", `unknown field "nodes"`},
		{"a field that is not supported", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: a, triggers: [{name: x, threshold: {value: 0.9}}]}]}`, `overload_manager.actions[0].name: "a" is not supported`},
		{"a monitor that is not there", `overload_manager: {resource_monitors: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig}}]}`, "max_heap_size_bytes: must be positive"},
		{"a monitor of another kind", `overload_manager: {resource_monitors: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig}}]}`, "InjectedResourceConfig is not supported"},
		{"a trigger without its monitor", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.shrink_heap, triggers: [{name: x, threshold: {value: 0.9}}]}]}`, `overload_manager.actions[0].triggers[0].name: "x" is no resource monitor`},
		{"an action that is not needed", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.reset_high_memory_stream, triggers: [{name: m, threshold: {value: 0.9}}]}]}`, "is not supported: bodies are pulled, not buffered"},
		{"timers that are not said", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.reduce_timeouts, triggers: [{name: m, threshold: {value: 0.9}}]}]}`, "overload_manager.actions[0].typed_config: is missing"},
		{"no timers", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.reduce_timeouts, triggers: [{name: m, threshold: {value: 0.9}}], typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig}}]}`, "overload_manager.actions[0].typed_config.timer_scale_factors"},
		{"a timer that there is not", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.reduce_timeouts, triggers: [{name: m, threshold: {value: 0.9}}], typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: [{timer: HTTP_DOWNSTREAM_STREAM_FLUSH, min_timeout: 1s}]}}]}`, "typed_config.timer_scale_factors[0].timer: HTTP_DOWNSTREAM_STREAM_FLUSH is not supported"},
		{"a timer twice", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.reduce_timeouts, triggers: [{name: m, threshold: {value: 0.9}}], typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: [{timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 1s}, {timer: TRANSPORT_SOCKET_CONNECT, min_scale: {value: 5}}]}}]}`, "timer_scale_factors[1].timer: TRANSPORT_SOCKET_CONNECT is an earlier one's"},
		{"timers of another action", `overload_manager: {resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 9}}], actions: [{name: envoy.overload_actions.shrink_heap, triggers: [{name: m, threshold: {value: 0.9}}], typed_config: {"@type": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig}}]}`, "overload_manager.actions[0].typed_config: is only for reduce_timeouts"},
		{"a limit of nothing", `overload_manager: {resource_monitors: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig}}]}`, "max_active_downstream_connections: must be positive"},
		{"a source that there is not", "dynamic_resources: {cds_config: {ads: {}}}", "dynamic_resources.cds_config.ads: there is no ads_config to ask"},
		{"no source", "dynamic_resources: {lds_config: {}}", "dynamic_resources.lds_config.config_source_specifier: value is required"},
		{"the source that is meant by nobody", "dynamic_resources: {lds_config: {self: {}}}", "dynamic_resources.lds_config.self: is not supported"},
		{"REST for all types", "dynamic_resources: {ads_config: {api_type: REST, cluster_names: [x]}}", "dynamic_resources.ads_config.api_type: REST is not aggregated"},
		{"an engine that there is not", `default_regex_engine: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`, "default_regex_engine.typed_config: envoy.extensions.filters.http.router.v3.Router is no engine"},
		{"a runtime on no disk", "layered_runtime: {layers: [{name: x, disk_layer: {}}]}", "layered_runtime.layers[0].disk_layer.symlink_root: is missing"},
		{"a runtime of nobody", "layered_runtime: {layers: [{name: x, rtds_layer: {name: r}}]}", "layered_runtime.layers[0].rtds_layer.rtds_config: is missing"},
		{"no runtime", "layered_runtime: {layers: [{name: x}]}", "layered_runtime.layers[0].layer_specifier: value is required"},
		{"an extension", `bootstrap_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/a.B}}]`, "bootstrap_extensions[0].typed_config: a.B is not supported"},
		{"REST of nobody", "dynamic_resources: {cds_config: {api_config_source: {api_type: REST}}}", "dynamic_resources.cds_config.api_config_source.cluster_names: has 0 entries, want one"},
		{"REST of a cluster without a name", "dynamic_resources: {cds_config: {api_config_source: {api_type: REST, cluster_names: ['']}}}", "dynamic_resources.cds_config.api_config_source.cluster_names[0]: is empty"},
		{"REST in the past", "dynamic_resources: {cds_config: {api_config_source: {api_type: REST, cluster_names: [x], refresh_delay: -1s}}}", "dynamic_resources.cds_config.api_config_source.refresh_delay: must not be negative"},
		{"a server that is nobody", "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{}]}}", "dynamic_resources.ads_config.grpc_services[0].target_specifier: value is required"},
		{"a cluster without a name", "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {}}]}}", "dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: value length must be at least 1 runes"},
		{"a server without an address", "dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{google_grpc: {}}]}}", "dynamic_resources.ads_config.grpc_services[0].google_grpc.target_uri: value length must be at least 1 runes"},
		{"no file", "dynamic_resources: {lds_config: {path_config_source: {path: ''}}}", "dynamic_resources.lds_config.path_config_source.path: value length must be at least 1 runes"},
		{"no file, the old way", "dynamic_resources: {lds_config: {path: ''}}", "dynamic_resources.lds_config.path: is empty"},
		{"two runtime layers of one name", "layered_runtime: {layers: [{name: x, static_layer: {}}, {name: x, admin_layer: {}}]}", `layered_runtime.layers[1].name: "x" is an earlier layer's`},
		{"two admin layers", "layered_runtime: {layers: [{name: x, admin_layer: {}}, {name: z, admin_layer: {}}]}", "layered_runtime.layers[1].admin_layer: there is another one"},
		{"an extension that is not there", `static_resources: {listeners: [{filter_chains: [{filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]}]}`,
			"envoy.extensions.filters.network.echo.v3.Echo is not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// Spellings of Envoy's v2 API mean what they are called today, and are noted.
func TestOldSpellings(t *testing.T) {
	for _, c := range []struct{ name, in, note string }{
		{"filter name and config", "static_resources: {listeners: [{name: l, filter_chains: [{filters: [{name: envoy.tcp_proxy, config: {stat_prefix: a, cluster: b}}]}]}]}", "listeners[0].filter_chains[0].filters[0].config: config is Envoy's v2 API"},
		{"hosts", "static_resources: {clusters: [{name: a, connect_timeout: 1s, hosts: [{socket_address: {address: 1.2.3.4, port_value: 5}}]}]}", "clusters[0].hosts: hosts is Envoy's v2 API, write load_assignment"},
		{"TLS", "static_resources: {clusters: [{name: a, connect_timeout: 1s, tls_context: {sni: x}}]}", "clusters[0].tls_context: tls_context is Envoy's v2 API, write transport_socket"},
		{"message", `static_resources: {listeners: [{name: l, filter_chains: [{filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.config.filter.network.tcp_proxy.v2.TcpProxy, stat_prefix: a, cluster: b}}]}]}]}`, "TcpProxy is Envoy's v2 API"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(got.Notes, "\n"), c.note) {
				t.Errorf("notes %q; want %q", got.Notes, c.note)
			}
		})
	}
	c, err := Parse([]byte(`
static_resources:
  clusters:
  - {name: shop, connect_timeout: 1s, type: EDS, eds_cluster_config: {eds_config: {api_config_source: {api_type: GRPC, cluster_names: [xds]}}}}
  - {name: xds, connect_timeout: 1s, type: STATIC, http2_protocol_options: {}, hosts: [{socket_address: {address: 10.0.0.1, port_value: 18000}}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Locate(c.Clusters[0].GetEdsClusterConfig().GetEdsConfig())
	if want := (Source{SotW: true, Cluster: "xds", Authority: "xds"}); err != nil || *a != want {
		t.Errorf("endpoints are asked of %+v, %v; want %+v", a, err, want)
	}
}

// The id is the one that Istio's control plane reads.
func TestSidecar(t *testing.T) {
	c, err := Sidecar(Settings{
		IP: netip.MustParseAddr("10.0.0.7"), Pod: "cart-1", Namespace: "shop", ServiceAccount: "cart",
		Labels: map[string]string{"app": "cart"}, HTTPProxyPort: 15080, Metadata: map[string]any{"INTERCEPTION_MODE": "REDIRECT"},
		ADS: Source{Address: "istiod.istio-system.svc:15012"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Node.GetId(), "sidecar~10.0.0.7~cart-1.shop~shop.svc.cluster.local"; got != want {
		t.Errorf("got id %s, want %s", got, want)
	}
	meta := c.Node.GetMetadata().GetFields()
	for key, want := range map[string]string{"NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart", "HTTP_PROXY_PORT": "15080", "INTERCEPTION_MODE": "REDIRECT", "INSTANCE_IPS": "10.0.0.7"} {
		if got := meta[key].GetStringValue(); got != want {
			t.Errorf("got metadata %s %q, want %q", key, got, want)
		}
	}
	if got := meta["LABELS"].GetStructValue().GetFields()["app"].GetStringValue(); got != "cart" {
		t.Errorf("got label app %q, want cart", got)
	}
	if c.ADS == nil || c.ClusterSource != c.ADS || c.ListenerSource != c.ADS {
		t.Error("a sidecar asks its control plane for clusters and listeners")
	}
}

// Resources come from servers of every kind, and from files.
func TestLocate(t *testing.T) {
	for in, want := range map[string]Source{
		"{path: /a.yaml}": {File: "/a.yaml"},
		"{path_config_source: {path: /a.yaml, watched_directory: {path: /b}}}":                                            {File: "/a.yaml", Directory: "/b"},
		"{api_config_source: {api_type: REST, cluster_names: [x]}}":                                                       {REST: 5 * time.Second, Cluster: "x"},
		"{api_config_source: {api_type: REST, cluster_names: [x], refresh_delay: 0.5s}}":                                  {REST: time.Second / 2, Cluster: "x"},
		"{api_config_source: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: x, authority: host}}]}}":  {Cluster: "x", Authority: "host"},
		"{api_config_source: {api_type: GRPC, grpc_services: [{google_grpc: {target_uri: 10.0.0.1:1, stat_prefix: z}}]}}": {SotW: true, Address: "10.0.0.1:1", Plaintext: true},
	} {
		c, err := Parse([]byte("dynamic_resources: {cds_config: " + in + "}"))
		if err != nil || c.ClusterSource == nil || *c.ClusterSource != want {
			t.Errorf("%s: got %+v, %v; want %+v", in, c, err, want)
		}
	}
}

// A runtime layer is a tree; its keys are the ways to the leaves.
func TestRuntime(t *testing.T) {
	c, err := Parse([]byte(`
dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: x}}]}}
layered_runtime:
  layers:
  - {name: static, static_layer: {a.b: 1.5, c: {d: {e: text}, f: true}, g: {numerator: 3, denominator: MILLION}, h: {numerator: 4}, i: {numerator: 5, other: 6}, j: [1]}}
  - {name: told, rtds_layer: {name: resource, rtds_config: {ads: {}}}}
  - {name: filed, rtds_layer: {name: other, rtds_config: {path: /r.yaml}}}
  - {name: admin, admin_layer: {}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []runtime.Layer{{Name: "static", Values: map[string]string{
		"a.b": "1.5", "c.d.e": "text", "c.f": "true", "g": "numerator: 3\ndenominator: MILLION", "h": "numerator: 4", "i.numerator": "5", "i.other": "6",
	}}, {Name: "told"}, {Name: "filed"}, {Name: "admin", Admin: true}}
	if diff := cmp.Diff(c.Runtime, want); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(c.RTDS, []RTDS{{Layer: "told", Resource: "resource"}, {Layer: "filed", Resource: "other", Source: &Source{File: "/r.yaml"}}}); diff != "" {
		t.Error(diff)
	}
}

// The table of understood fields names only fields that exist.
func TestFieldTable(t *testing.T) {
	if wrong := fields.Unknown(find); len(wrong) > 0 {
		t.Errorf("no such fields: %v", wrong)
	}
}

func find(n protoreflect.FullName) protoreflect.MessageDescriptor {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(n)
	if err != nil {
		return nil
	}
	return d.(protoreflect.MessageDescriptor)
}

// The number of connections is limited by the monitor, or by the older runtime key.
func TestMaxConnections(t *testing.T) {
	const monitor = `overload_manager: {refresh_interval: 0.25s, resource_monitors: [{name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: "50"}}]}`
	for in, want := range map[string]int64{
		"{}":    0,
		monitor: 50,
		"layered_runtime: {layers: [{name: s, static_layer: {overload.global_downstream_max_connections: 7}}]}":             7,
		"layered_runtime: {layers: [{name: s, static_layer: {overload: {global_downstream_max_connections: 8}}}]}":          8,
		`layered_runtime: {layers: [{name: s, static_layer: {overload.global_downstream_max_connections: "9"}}]}`:           9, // as Istio writes it
		"layered_runtime: {layers: [{name: s, static_layer: {overload.global_downstream_max_connections: 7}}]}\n" + monitor: 50,
	} {
		c, err := Parse([]byte(in))
		if err != nil || c.MaxConnections != want {
			t.Errorf("%s: got %+v, %v; want %d", in, c, err, want)
		}
	}
}
