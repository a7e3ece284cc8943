package state

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// recorder is where listeners are put in force, and whom resources are asked
// of.
type recorder struct {
	mu        sync.Mutex
	listeners []*listener.Config
	wanted    map[string][]string
}

func (r *recorder) Update(l []*listener.Config) map[string]error {
	r.listeners = l
	return nil
}

func (r *recorder) want(source, url string, names []string) {
	if source != "" {
		url = source + " " + url
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted[url] = slices.Clone(names)
}

func newState(t *testing.T) (*State, *recorder) {
	t.Helper()
	r := &recorder{wanted: map[string][]string{}}
	return New(Config{Listeners: r, Telemetry: telemetry.New(telemetry.Config{}), Want: r.want}), r
}

func update(t *testing.T, s *State, url string, messages ...proto.Message) error {
	t.Helper()
	u := ads.Update{Type: url, Version: "1"}
	for _, m := range messages {
		body, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		u.Set = append(u.Set, ads.Resource{Version: "1", Body: body})
	}
	return s.Update(u)
}

func parse[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func edsCluster(t *testing.T, name, more string) *clusterv3.Cluster {
	return parse(t, &clusterv3.Cluster{}, `{"name":"`+name+`","type":"EDS","edsClusterConfig":{"edsConfig":{"ads":{}}}`+more+`}`)
}

func assignment(t *testing.T, name string, addresses ...string) *endpointv3.ClusterLoadAssignment {
	var list []string
	for _, a := range addresses {
		list = append(list, `{"endpoint":{"address":{"socketAddress":{"address":"`+a+`","portValue":80}}}}`)
	}
	return parse(t, &endpointv3.ClusterLoadAssignment{}, `{"clusterName":"`+name+`","endpoints":[{"lbEndpoints":[`+strings.Join(list, ",")+`]}]}`)
}

func rdsListener(t *testing.T, name, route string) *listenerv3.Listener {
	t.Helper()
	router, err := anypb.New(&routerv3.Router{})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix:  "h",
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router}}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: route, ConfigSource: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := parse(t, &listenerv3.Listener{}, `{"name":"`+name+`","address":{"socketAddress":{"address":"0.0.0.0","portValue":80}}}`)
	l.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}}}}
	return l
}

func routes(t *testing.T, name, cluster string) *routev3.RouteConfiguration {
	return parse(t, &routev3.RouteConfiguration{}, `{"name":"`+name+`","virtualHosts":[{"name":"all","domains":["*"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"`+cluster+`"}}]}]}`)
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// "Cluster warming: a cluster is not used until its endpoints have been
// provided"; and when it comes again with another setting, the old one serves
// until the new one is warm, with the endpoints that are known.
func TestClusterWarms(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", "")))
	if s.handle("a").Load() != nil || s.Ready() {
		t.Error("a cluster without endpoints serves")
	}
	if diff := cmp.Diff(r.wanted[ads.EndpointType], []string{"a"}); diff != "" {
		t.Error("asked for:", diff)
	}
	noError(t, update(t, s, ads.EndpointType, assignment(t, "a", "10.0.0.1")))
	first := s.handle("a").Load()
	if first == nil || len(first.Hosts()) != 1 {
		t.Fatalf("got %v, want a cluster with one endpoint", first)
	}
	noError(t, update(t, s, ads.EndpointType, assignment(t, "a", "10.0.0.1", "10.0.0.2")))
	if s.handle("a").Load() != first || len(first.Hosts()) != 2 {
		t.Error("an endpoint update makes a new cluster")
	}
	noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", "")))
	if s.handle("a").Load() != first {
		t.Error("a cluster that came again as it was is made anew")
	}
	noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", `,"lbPolicy":"RANDOM"`)))
	second := s.handle("a").Load()
	if second == first || len(second.Hosts()) != 2 {
		t.Errorf("got %d endpoints after a change of policy, want the two that are known", len(second.Hosts()))
	}
	noError(t, s.Update(ads.Update{Type: ads.ClusterType, Removed: []string{"a"}}))
	if s.handle("a").Load() != nil || len(r.wanted[ads.EndpointType]) != 0 {
		t.Error("a removed cluster serves or is asked for")
	}
}

// "Listener warming: a listener is not used until its routes have been
// provided"; a route update replaces a table and no listener.
func TestListenerWarms(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	if len(r.listeners) != 0 {
		t.Error("a listener without routes serves")
	}
	if diff := cmp.Diff(r.wanted[ads.RouteType], []string{"80"}); diff != "" {
		t.Error("asked for:", diff)
	}
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if len(r.listeners) != 1 {
		t.Fatalf("got %d listeners in force, want 1", len(r.listeners))
	}
	config, table := r.listeners[0], s.listeners["web"].active.Managers[0].Current().Load()
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "b")))
	if r.listeners[0] != config || s.listeners["web"].active.Managers[0].Current().Load() == table {
		t.Error("a route update must change the table and not the listener")
	}
	changed := rdsListener(t, "web", "81")
	noError(t, update(t, s, ads.ListenerType, changed))
	if len(r.listeners) != 1 || r.listeners[0] != config {
		t.Error("the listener before must serve until the new one has its routes")
	}
	noError(t, update(t, s, ads.RouteType, routes(t, "81", "b")))
	if len(r.listeners) != 1 || r.listeners[0] == config {
		t.Error("the new listener does not serve")
	}
}

// A resource that is not understood is refused by name and field; the good
// ones beside it are taken, and what it replaces goes on.
func TestNack(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	before := r.listeners[0]

	bad := rdsListener(t, "web", "80")
	bad.SocketOptions = []*corev3.SocketOption{{Name: 1}}
	err := update(t, s, ads.ListenerType, bad, rdsListener(t, "other", "80"))
	if err == nil || err.Error() != `listener "web": socket_options: is not supported` {
		t.Errorf("got %v", err)
	}
	if len(r.listeners) != 2 || r.listeners[1] != before {
		t.Errorf("got %d listeners, want the good one and the one before", len(r.listeners))
	}
	if p := s.Resources(ads.ListenerType)[1].Problem; p == nil || !strings.Contains(p.Text, "socket_options") {
		t.Errorf("got problem %v in the dump", p)
	}

	wrong := routes(t, "80", "a")
	lua, _ := anypb.New(&luav3.LuaPerRoute{})
	wrong.VirtualHosts[0].Routes[0].TypedPerFilterConfig = map[string]*anypb.Any{"envoy.filters.http.lua": lua}
	err = update(t, s, ads.RouteType, wrong)
	if err == nil || !strings.Contains(err.Error(), `route "80": virtual_hosts[0]`) || !strings.Contains(err.Error(), "LuaPerRoute") {
		t.Errorf("got %v, want the route, the place and the extension", err)
	}
}

// "In the state of the world, clusters that a response does not name are gone",
// but not those of the bootstrap.
func TestStateOfTheWorld(t *testing.T) {
	s, _ := newState(t)
	static := parse(t, &clusterv3.Cluster{}, `{"name":"static","type":"STATIC"}`)
	noError(t, s.Static(nil, []*clusterv3.Cluster{static}, nil))
	noError(t, update(t, s, ads.ClusterType, parse(t, &clusterv3.Cluster{}, `{"name":"a","type":"STATIC"}`)))
	noError(t, s.Update(ads.Update{Type: ads.ClusterType, Full: true}))
	if s.handle("a").Load() != nil || s.handle("static").Load() == nil {
		t.Error("want a gone and static kept")
	}
}

// Resources with one name from two sources are two resources, and each source is
// asked for its own until nobody wants them any more.
func TestSourcesKeepTheirNames(t *testing.T) {
	r := &recorder{wanted: map[string][]string{}}
	s := New(Config{Listeners: r, Telemetry: telemetry.New(telemetry.Config{}), Want: r.want, Locate: func(at *corev3.ConfigSource, _ string) (string, error) {
		return at.GetPathConfigSource().GetPath(), nil
	}})
	of := func(name, path string) proto.Message {
		return parse(t, &clusterv3.Cluster{}, `{"name":"`+name+`","type":"EDS","edsClusterConfig":{"serviceName":"web","edsConfig":{"pathConfigSource":{"path":"`+path+`"}}}}`)
	}
	noError(t, update(t, s, ads.ClusterType, of("a", "/a"), of("b", "/b")))
	for _, source := range []string{"/a", "/b"} {
		if diff := cmp.Diff(r.wanted[source+" "+ads.EndpointType], []string{"web"}); diff != "" {
			t.Errorf("asked of %s: %s", source, diff)
		}
	}
	body, err := anypb.New(assignment(t, "web", "10.0.0.1"))
	noError(t, err)
	noError(t, s.Update(ads.Update{Source: "/a", Type: ads.EndpointType, Set: []ads.Resource{{Body: body}}}))
	if s.handle("a").Load() == nil || s.handle("b").Load() != nil {
		t.Error("what one source says is not for its own cluster alone")
	}
	noError(t, s.Update(ads.Update{Type: ads.ClusterType, Removed: []string{"b"}}))
	if got := r.wanted["/b "+ads.EndpointType]; len(got) != 0 {
		t.Errorf("the second source is still asked for %v", got)
	}
}

// What is not in force says what it waits for.
func TestWaiting(t *testing.T) {
	s, _ := newState(t)
	noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", "")))
	noError(t, update(t, s, ads.ListenerType, tlsListener(t, "kubernetes://shop")))
	want := []Waiting{{"cluster a", []string{"endpoints a"}}, {"listener web", []string{"secret kubernetes://shop", "routes 80"}}}
	if diff := cmp.Diff(s.Waiting(), want); diff != "" {
		t.Error(diff)
	}
	noError(t, update(t, s, ads.EndpointType, assignment(t, "a", "10.0.0.1")))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"secret kubernetes://shop"}}}); diff != "" {
		t.Error(diff)
	}
}

// A cluster that comes as it was from another source is that one's.
func TestSameFromAnotherSource(t *testing.T) {
	s, _ := newState(t)
	body, err := anypb.New(parse(t, &clusterv3.Cluster{}, `{"name":"a","type":"STATIC"}`))
	noError(t, err)
	for _, source := range []string{"there", ""} {
		noError(t, s.Update(ads.Update{Source: source, Type: ads.ClusterType, Set: []ads.Resource{{Body: body}}}))
	}
	noError(t, s.Update(ads.Update{Source: "there", Type: ads.ClusterType, Full: true}))
	if s.handle("a").Load() == nil {
		t.Error("taken away by the source of before")
	}
}

// Endpoints that are refused are not taken by anybody, and refused again when they
// come again.
func TestRefusedEndpoints(t *testing.T) {
	s, _ := newState(t)
	other := edsCluster(t, "b", "")
	other.EdsClusterConfig.ServiceName = "a"
	noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", ""), other))
	bad := assignment(t, "a", "nowhere")
	for range 2 {
		if err := update(t, s, ads.EndpointType, bad); err == nil {
			t.Error("endpoints at no address are taken")
		}
	}
	if s.handle("a").Load() != nil || len(s.Resources(ads.EndpointType)) != 0 {
		t.Error("refused endpoints are kept")
	}
	noError(t, update(t, s, ads.EndpointType, assignment(t, "a", "10.0.0.1")))
	if s.handle("a").Load() == nil || s.handle("b").Load() == nil {
		t.Error("the clusters still wait")
	}
}

// When a resource cannot be read, nobody knows which one it is: none is taken away.
func TestUnreadable(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ClusterType, parse(t, &clusterv3.Cluster{}, `{"name":"a","type":"STATIC"}`)))
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	for _, url := range []string{ads.ClusterType, ads.ListenerType} {
		err := s.Update(ads.Update{Type: url, Full: true, Set: []ads.Resource{{Body: &anypb.Any{TypeUrl: url, Value: []byte{1}}}}})
		if err == nil {
			t.Errorf("%s: no error", url)
		}
	}
	if s.handle("a").Load() == nil || len(r.listeners) != 1 {
		t.Error("what was not read is taken away")
	}
}

// A resource that the bootstrap has is passed over, which is no reason to refuse the
// others.
func TestBootstrapWins(t *testing.T) {
	var log strings.Builder
	s := New(Config{Listeners: &recorder{}, Telemetry: telemetry.New(telemetry.Config{}), Log: slog.New(slog.NewTextHandler(&log, nil))})
	noError(t, s.Static([]*listenerv3.Listener{rdsListener(t, "web", "80")}, []*clusterv3.Cluster{parse(t, &clusterv3.Cluster{}, `{"name":"a","type":"STATIC"}`)}, nil))
	for range 2 {
		noError(t, update(t, s, ads.ClusterType, edsCluster(t, "a", "")))
		noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "81")))
	}
	for _, url := range []string{ads.ClusterType, ads.ListenerType} {
		if all := s.Resources(url); len(all) != 1 || !all[0].Static {
			t.Errorf("%s: got %+v, want the bootstrap's", url, all)
		}
	}
	if got := strings.Count(log.String(), "passed over"); got != 2 {
		t.Errorf("said %d times, want once each", got)
	}
}

// What a cluster or a listener was made of before is not asked for any more once the
// new one is in force, nor what never was in force.
func TestOnlyWhatIsOfInterest(t *testing.T) {
	s, r := newState(t)
	of := func(service string) *clusterv3.Cluster {
		m := edsCluster(t, "a", "")
		m.EdsClusterConfig.ServiceName = service
		return m
	}
	for _, step := range []struct {
		do        func() error
		endpoints []string
		routes    []string
	}{
		{func() error { return update(t, s, ads.ClusterType, of("svc1")) }, []string{"svc1"}, nil},
		{func() error { return update(t, s, ads.ClusterType, of("svc2")) }, []string{"svc2"}, nil},
		{func() error { return update(t, s, ads.EndpointType, assignment(t, "svc2", "10.0.0.1")) }, []string{"svc2"}, nil},
		{func() error { return update(t, s, ads.ClusterType, of("svc3")) }, []string{"svc2", "svc3"}, nil},
		{func() error { return update(t, s, ads.ClusterType, of("svc4")) }, []string{"svc2", "svc4"}, nil},
		{func() error { return update(t, s, ads.EndpointType, assignment(t, "svc4", "10.0.0.1")) }, []string{"svc4"}, nil},
		{func() error { return update(t, s, ads.ListenerType, rdsListener(t, "web", "80")) }, []string{"svc4"}, []string{"80"}},
		{func() error { return update(t, s, ads.RouteType, routes(t, "80", "a")) }, []string{"svc4"}, []string{"80"}},
		{func() error { return update(t, s, ads.ListenerType, rdsListener(t, "web", "81")) }, []string{"svc4"}, []string{"80", "81"}},
		{func() error { return update(t, s, ads.RouteType, routes(t, "81", "a")) }, []string{"svc4"}, []string{"81"}},
		{func() error {
			return s.Update(ads.Update{Type: ads.ClusterType, Removed: []string{"a"}})
		}, nil, []string{"81"}},
	} {
		noError(t, step.do())
		if got := r.wanted[ads.EndpointType]; !slices.Equal(got, step.endpoints) || len(s.services) != len(got) {
			t.Errorf("asked for endpoints %q, %d are followed; want %q", got, len(s.services), step.endpoints)
		}
		if got := r.wanted[ads.RouteType]; !slices.Equal(got, step.routes) {
			t.Errorf("asked for routes %q, want %q", got, step.routes)
		}
	}
}

// Static listeners without a name are told apart by their addresses, which name them
// in what is wrong with one, too.
func TestListenersWithoutNames(t *testing.T) {
	at := func(port string) *listenerv3.Listener {
		return parse(t, &listenerv3.Listener{}, `{"address":{"socketAddress":{"address":"127.0.0.1","portValue":`+port+`}},"filterChains":[{"filters":[{"name":"tcp","typedConfig":{
			"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy","statPrefix":"t","cluster":"c"}}]}]}`)
	}
	s, r := newState(t)
	noError(t, s.Static([]*listenerv3.Listener{at("80"), at("81")}, nil, nil))
	noError(t, s.Serve())
	var names []string
	for _, c := range r.listeners {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "127.0.0.1:80 127.0.0.1:81" {
		t.Errorf("got listeners %q, want both", got)
	}
	bad := at("82")
	bad.Transparent = wrapperspb.Bool(true)
	if err := s.Static([]*listenerv3.Listener{bad}, nil, nil); err == nil || !strings.Contains(err.Error(), `listener "127.0.0.1:82": transparent: is not supported`) {
		t.Errorf("got %v, want a refusal that names the address", err)
	}
}
