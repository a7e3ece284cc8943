package state

import (
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// scoping is a listener whose requests go by scopes, with a filter whose configuration
// is discovered.
func scoping(t *testing.T, name, scopes, filters string) *listenerv3.Listener {
	t.Helper()
	return parse(t, &listenerv3.Listener{}, `{"name":"`+name+`","address":{"socketAddress":{"address":"0.0.0.0","portValue":80}},"filterChains":[{"filters":[{"name":"http","typedConfig":{
		"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","statPrefix":"h",
		"scopedRoutes":{"name":"tenants","scopeKeyBuilder":{"fragments":[{"headerValueExtractor":{"name":"x-tenant","index":0}}]},`+scopes+`},
		"httpFilters":[`+filters+`{"name":"router","typedConfig":{"@type":"`+filterTypes+`router.v3.Router"}}]}}]}]}`)
}

const overSRDS = `"rdsConfigSource":{"ads":{}},"scopedRds":{"scopedRdsConfigSource":{"ads":{}}}`

func scope(t *testing.T, name, key, more string) *routev3.ScopedRouteConfiguration {
	return parse(t, &routev3.ScopedRouteConfiguration{}, `{"name":"`+name+`","key":{"fragments":[{"stringKey":"`+key+`"}]},`+more+`}`)
}

// world tells all scopes that there are.
func world(t *testing.T, s *State, scopes ...proto.Message) error {
	t.Helper()
	u := ads.Update{Type: ads.ScopeType, Version: "1", Full: true}
	for _, m := range scopes {
		u.Set = append(u.Set, ads.Resource{Version: "1", Body: staticRaw(m).body})
	}
	return s.Update(u)
}

// A listener waits for its scopes and for the routes that they name. Later ones change
// no listener; what no scope names any more is not asked for.
func TestScopesWarm(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, scoping(t, "web", overSRDS, "")))
	if got := r.wanted[ads.ScopeType]; len(r.listeners) != 0 || !slices.Equal(got, []string{ads.Everything}) {
		t.Errorf("got %d listeners, asked for %v", len(r.listeners), got)
	}
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"scopes of tenants"}}}); diff != "" {
		t.Error(diff)
	}
	noError(t, world(t, s, scope(t, "one", "a", `"routeConfigurationName":"80"`), scope(t, "own", "b", `"routeConfiguration":{"name":"inner"}`)))
	if got := r.wanted[ads.RouteType]; len(r.listeners) != 0 || !slices.Equal(got, []string{"80"}) {
		t.Errorf("got %d listeners, asked for %v", len(r.listeners), got)
	}
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"routes 80"}}}); diff != "" {
		t.Error(diff)
	}
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if len(r.listeners) != 1 {
		t.Fatal("the listener does not serve")
	}
	config := r.listeners[0]
	noError(t, world(t, s, scope(t, "one", "a", `"routeConfigurationName":"81"`)))
	if got := r.wanted[ads.RouteType]; r.listeners[0] != config || !slices.Equal(got, []string{"81"}) || len(s.routes) != 0 {
		t.Errorf("asked for %v, %d are kept; want the new routes for the old listener", got, len(s.routes))
	}
	if all := s.ScopedRoutes(); len(all) != 1 || all[0].Name != "tenants" || all[0].Static || len(all[0].Bodies) != 1 {
		t.Errorf("got %+v in the dump", all)
	}
	// A listener that comes later has the scopes that are there.
	noError(t, update(t, s, ads.RouteType, routes(t, "81", "a")))
	noError(t, update(t, s, ads.ListenerType, scoping(t, "other", overSRDS, "")))
	if len(r.listeners) != 2 {
		t.Error("the second listener waits for what is there")
	}
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Full: true}))
	if len(r.wanted[ads.ScopeType])+len(r.wanted[ads.RouteType])+len(s.scopes)+len(s.routes) != 0 {
		t.Errorf("still asked for %v, %d and %d are kept", r.wanted, len(s.scopes), len(s.routes))
	}
}

// An update of scopes is taken as a whole: a key may go over from one to another, and
// belongs to one.
func TestScopesAreTakenTogether(t *testing.T) {
	s, _ := newState(t)
	noError(t, update(t, s, ads.ListenerType, scoping(t, "web", overSRDS, "")))
	const own = `"routeConfiguration":{"name":"r"}`
	noError(t, world(t, s, scope(t, "one", "a", own), scope(t, "two", "b", own)))
	noError(t, world(t, s, scope(t, "one", "b", own), scope(t, "two", "a", own)))
	bad := scope(t, "onDemand", "d", own)
	bad.OnDemand = true
	for want, m := range map[string]*routev3.ScopedRouteConfiguration{
		`scope "ahead": key: belongs to scope "two", too`:     scope(t, "ahead", "a", own),
		`scope "onDemand": on_demand: is not supported`:       bad,
		`scope "both": write either`:                          scope(t, "both", "c", own+`,"routeConfigurationName":"x"`),
		`scope "none": write either`:                          {Name: "none", Key: scope(t, "none", "c", own).Key},
		`scope "keyless": key`:                                {Name: "keyless", RouteConfigurationName: "x"},
		`scope "wrong": route_configuration.virtual_hosts[0]`: scope(t, "wrong", "e", `"routeConfiguration":{"name":"r","virtualHosts":[{"name":"v","domains":["*"],"routes":[{"match":{"prefix":"/"}}]}]}`),
	} {
		u := ads.Update{Type: ads.ScopeType, Set: []ads.Resource{{Name: m.GetName(), Body: staticRaw(m).body}}}
		if err := s.Update(u); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := len(s.listeners["web"].active.Managers[0].Scopes()); got != 2 || len(s.scopes[""].by) != 2 {
		t.Errorf("got %d scopes, want those of before", got)
	}
	noError(t, s.Update(ads.Update{Type: ads.ScopeType, Removed: []string{"one"}}))
	if got := s.listeners["web"].active.Managers[0].Scopes(); len(got) != 1 || got[0].GetName() != "two" {
		t.Errorf("got %v, want one taken away", got)
	}
}

// Filters that change change before the routes of all scopes.
func TestFiltersBeforeScopes(t *testing.T) {
	s, r := newState(t)
	filter := `{"name":"limit","configDiscovery":{"configSource":{"ads":{}},"typeUrls":["` + filterTypes + `buffer.v3.Buffer"]}},`
	list := `"rdsConfigSource":{"ads":{}},"scopedRouteConfigurationsList":{"scopedRouteConfigurations":[
		{"name":"one","key":{"fragments":[{"stringKey":"a"}]},"routeConfigurationName":"80"},{"name":"own","key":{"fragments":[{"stringKey":"b"}]},"routeConfiguration":{"name":"r"}}]}`
	noError(t, update(t, s, ads.ListenerType, scoping(t, "web", list, filter)))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"filter configuration limit"}}}); diff != "" {
		t.Error(diff)
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	if len(r.listeners) != 1 || len(s.Waiting()) != 0 {
		t.Error("the listener does not serve")
	}
	if all := s.ScopedRoutes(); len(all) != 1 || !all[0].Static || len(all[0].Bodies) != 2 {
		t.Errorf("got %+v in the dump", all)
	}
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "b")))
	wrong := strings.Replace(list, `"rdsConfigSource":{"ads":{}},`, "", 1)
	err := update(t, s, ads.ListenerType, scoping(t, "wrong", wrong, ""))
	if err == nil || !strings.HasSuffix(err.Error(), `scoped_routes.scoped_route_configurations_list: scope "one": route_configuration_name: names routes, and scoped_routes has no rds_config_source`) {
		t.Errorf("got %v", err)
	}
	wrong = strings.Replace(list, `"key":{"fragments":[{"stringKey":"b"}]}`, `"key":{"fragments":[{"stringKey":"a"}]}`, 1)
	err = update(t, s, ads.ListenerType, scoping(t, "wrong", wrong, ""))
	if err == nil || !strings.HasSuffix(err.Error(), `scope "own": key: belongs to scope "one", too`) {
		t.Errorf("got %v", err)
	}
}

// Routes of a scope may have further virtual hosts; the configuration of a filter keeps
// them.
func TestHostsOfScopes(t *testing.T) {
	s, r := newState(t)
	filter := `{"name":"limit","configDiscovery":{"configSource":{"ads":{}},"typeUrls":["` + filterTypes + `buffer.v3.Buffer"]}},`
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	noError(t, update(t, s, ads.ListenerType, scoping(t, "web", overSRDS, filter)))
	noError(t, world(t, s, scope(t, "one", "a", `"routeConfigurationName":"80"`)))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	noError(t, tellHosts(t, s, "", "a.test"))
	if len(r.listeners) != 0 {
		t.Error("serves without its filter")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"2")))
	if len(r.listeners) != 1 {
		t.Fatal("the listener does not serve")
	}
	m := s.listeners["web"].active.Managers[0]
	knows := func(host string) bool {
		req := &stream.Request{Authority: host}
		req.Header.Add("x-tenant", "a")
		return m.Current().For(req).Knows(req)
	}
	for _, limit := range []string{"3", "4"} {
		if !knows("a.test") || knows("b.test") {
			t.Errorf("before %s: the virtual hosts are not there", limit)
		}
		noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+limit)))
	}
	noError(t, tellHosts(t, s, "", "b.test"))
	if !knows("b.test") {
		t.Error("a virtual host that comes later is not there")
	}
}
