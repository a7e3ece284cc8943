package state

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

const filterTypes = "type.googleapis.com/envoy.extensions.filters.http."

// discovering is a listener with a filter whose configuration is discovered, with
// further settings of that.
func discovering(t *testing.T, name, filter, more string) *listenerv3.Listener {
	t.Helper()
	return parse(t, &listenerv3.Listener{}, `{"name":"`+name+`","address":{"socketAddress":{"address":"0.0.0.0","portValue":80}},"filterChains":[{"filters":[{"name":"http","typedConfig":{
		"@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","statPrefix":"h",
		"routeConfig":{"name":"own","virtualHosts":[{"name":"all","domains":["*"],"routes":[{"match":{"prefix":"/"},"directResponse":{"status":200}}]}]},
		"httpFilters":[
			{"name":"`+filter+`","configDiscovery":{"configSource":{"ads":{}`+more+`,"typeUrls":["`+filterTypes+`buffer.v3.Buffer","`+filterTypes+`credential_injector.v3.CredentialInjector"]}},
			{"name":"router","typedConfig":{"@type":"`+filterTypes+`router.v3.Router"}}]}}]}]}`)
}

func configuration(t *testing.T, name, typed string) *corev3.TypedExtensionConfig {
	return parse(t, &corev3.TypedExtensionConfig{}, `{"name":"`+name+`","typedConfig":{"@type":"`+filterTypes+typed+`}}`)
}

const bufferOf = `buffer.v3.Buffer","maxRequestBytes":`

// A listener waits for the configuration of its filters; a later one changes its
// routes and no listener. It is asked for and kept as long as a listener has such a
// filter.
func TestFilterConfigurationWarms(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, discovering(t, "web", "limit", "}")))
	if len(r.listeners) != 0 {
		t.Error("a listener without its filter's configuration serves")
	}
	if diff := cmp.Diff(r.wanted[ads.ExtensionType], []string{"limit"}); diff != "" {
		t.Error("asked for:", diff)
	}
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"filter configuration limit"}}}); diff != "" {
		t.Error(diff)
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	if len(r.listeners) != 1 {
		t.Fatal("the listener does not serve")
	}
	config, manager := r.listeners[0], s.listeners["web"].active.Managers[0]
	table := manager.Current().Load()
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"2")))
	second := manager.Current().Load()
	if r.listeners[0] != config || second == table {
		t.Error("a filter's configuration must change the table and not the listener")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"2")))
	if manager.Current().Load() != second {
		t.Error("what came again as it was changes something")
	}
	// A listener that comes later has the configuration that is there.
	noError(t, update(t, s, ads.ListenerType, discovering(t, "other", "limit", "}")))
	if len(r.listeners) != 2 {
		t.Error("the second listener waits for what is there")
	}
	if all := s.Resources(ads.ExtensionType); len(all) != 1 || all[0].Name != "limit" {
		t.Errorf("got %+v in the dump", all)
	}
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Full: true}))
	if got := r.wanted[ads.ExtensionType]; len(got) != 0 || len(s.Resources(ads.ExtensionType)) != 0 {
		t.Errorf("still asked for %v, and there are %d", got, len(s.extensions))
	}
}

// A configuration that is not understood is refused by name and field, and what was
// in force stays.
func TestRefusedFilterConfiguration(t *testing.T) {
	s, _ := newState(t)
	noError(t, update(t, s, ads.ListenerType, discovering(t, "web", "limit", "}")))
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	table := s.listeners["web"].active.Managers[0].Current().Load()
	for typed, want := range map[string]string{
		`csrf.v3.CsrfPolicy"`: `filter configuration "limit": typed_config: is a envoy.extensions.filters.http.csrf.v3.CsrfPolicy, and type_urls has envoy.extensions.filters.http.buffer.v3.Buffer, `,
		bufferOf + "0":        `filter configuration "limit": typed_config.max_request_bytes`,
		`credential_injector.v3.CredentialInjector","credential":{"name":"x","typedConfig":{"@type":"` + filterTypes + `router.v3.Router"}}`: `filter configuration "limit": typed_config.credential.typed_config`,
	} {
		if err := update(t, s, ads.ExtensionType, configuration(t, "limit", typed)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := update(t, s, ads.ExtensionType, &corev3.TypedExtensionConfig{Name: "limit"}); err == nil || !strings.Contains(err.Error(), "typed_config: is missing") {
		t.Errorf("got %v", err)
	}
	if s.listeners["web"].active.Managers[0].Current().Load() != table {
		t.Error("what was refused changes something")
	}
}

// A filter whose configuration is taken away does what it is to do instead; a
// listener that comes then does not wait for it.
func TestFilterConfigurationGoes(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, discovering(t, "web", "limit", "}")))
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	table := s.listeners["web"].active.Managers[0].Current().Load()
	noError(t, s.Update(ads.Update{Type: ads.ExtensionType, Removed: []string{"limit"}}))
	if s.listeners["web"].active.Managers[0].Current().Load() == table || len(s.extensions) != 0 {
		t.Error("it is still there")
	}
	noError(t, update(t, s, ads.ListenerType, discovering(t, "other", "limit", "}")))
	if len(r.listeners) != 2 {
		t.Error("a listener waits for what there is not")
	}
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Removed: []string{"web", "other"}}))
	noError(t, update(t, s, ads.ListenerType, discovering(t, "other", "limit", "}")))
	if len(r.listeners) != 0 || !slices.Equal(r.wanted[ads.ExtensionType], []string{"limit"}) {
		t.Error("what was asked before is remembered when nobody wanted it any more")
	}
}

// A filter's secret is asked for with its configuration, and a listener that waits
// for the one waits for the other.
func TestSecretsOfFilterConfigurations(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, discovering(t, "web", "limit", "}")))
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", `credential_injector.v3.CredentialInjector","credential":{"name":"x","typedConfig":{
		"@type":"type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic","credential":{"name":"token","sdsConfig":{"ads":{}}}}}`)))
	if len(r.listeners) != 0 || !slices.Equal(r.wanted[ads.SecretType], []string{"token"}) {
		t.Errorf("got %d listeners, asked for %v; want the secret asked for first", len(r.listeners), r.wanted[ads.SecretType])
	}
	noError(t, s.Update(ads.Update{Type: ads.SecretType, Removed: []string{"token"}}))
	if len(r.listeners) != 1 {
		t.Error("waits for a secret that there is not")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	if len(r.wanted[ads.SecretType]) != 0 {
		t.Error("the secret is still asked for")
	}
}

// "default_config: optional default configuration to use as the initial
// configuration if there is a failure to receive the initial extension
// configuration": after initial_fetch_timeout, when it is refused, when there is
// none, or at once where apply_default_config_without_warming is set.
func TestDefaultFilterConfiguration(t *testing.T) {
	const instead = `,"defaultConfig":{"@type":"` + filterTypes + bufferOf + `9}`
	for _, tc := range []struct {
		name, more string
		after      func(s *State)
		took       time.Duration
	}{
		{"nothing is heard", "}" + instead, nil, 15 * time.Second},
		{"nothing is heard, and there is nothing instead", "}", nil, 15 * time.Second},
		{"nothing is heard, and it is waited for for ever", `,"initialFetchTimeout":"0s"}`, nil, -1},
		{"nothing is heard in time", `,"initialFetchTimeout":"3s"}` + instead, nil, 3 * time.Second},
		{"it is refused", "}" + instead, func(s *State) {
			_ = update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"0"))
		}, time.Second},
		{"there is none", "}" + instead, func(s *State) {
			_ = s.Update(ads.Update{Type: ads.ExtensionType, Removed: []string{"limit"}})
		}, time.Second},
		{"at once", "}" + instead + `,"applyDefaultConfigWithoutWarming":true`, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				served := &served{since: time.Now()}
				s := New(Config{Listeners: served, Telemetry: telemetry.New(telemetry.Config{})})
				noError(t, s.Static([]*listenerv3.Listener{discovering(t, "web", "limit", tc.more)}, nil, nil))
				noError(t, s.Serve())
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); _ = s.Run(ctx) }()
				if tc.after != nil {
					time.AfterFunc(time.Second, func() { tc.after(s) })
				}
				time.Sleep(time.Minute)
				cancel()
				<-done
				if served.ever != (tc.took >= 0) || served.ever && served.after != tc.took {
					t.Errorf("serves after %v, %v; want %v", served.after, served.ever, tc.took)
				}
			})
		})
	}
}

// The configuration of a filter changes what is in force, whatever else is on its way:
// routes that wait for their virtual hosts replace the ones there are only with them.
func TestConfigurationWhileHostsAreMissing(t *testing.T) {
	s, _ := newState(t)
	l := discovering(t, "web", "limit", "}")
	hcm := &hcmv3.HttpConnectionManager{}
	noError(t, l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(hcm))
	hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "80", ConfigSource: hcm.HttpFilters[0].GetConfigDiscovery().ConfigSource}}
	l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: staticRaw(hcm).body}
	noError(t, update(t, s, ads.ListenerType, l))
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	manager := s.listeners["web"].active.Managers[0]
	before := manager.Current().Load()
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	if manager.Current().Load() != before {
		t.Error("the routes are in force without their hosts")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"2")))
	if now := manager.Current().Load(); now == nil || now == before || now.Ask != nil {
		t.Error("want the routes of before, with the new filter")
	}
	noError(t, tellHosts(t, s, "", "a.test"))
	if !manager.Current().Load().Knows(&stream.Request{Authority: "a.test"}) || manager.Current().Load().Ask == nil {
		t.Error("the routes do not come into force")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"3")))
	if !manager.Current().Load().Knows(&stream.Request{Authority: "a.test"}) {
		t.Error("the new filter loses the hosts")
	}
}

// A listener may change what its filter may be: it waits for the configuration that
// follows, and what it replaces goes on with what it has.
func TestOtherFilterOfName(t *testing.T) {
	other := func(t *testing.T) *listenerv3.Listener {
		l := discovering(t, "web", "limit", "}")
		hcm := &hcmv3.HttpConnectionManager{}
		noError(t, l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(hcm))
		hcm.HttpFilters[0].GetConfigDiscovery().TypeUrls = []string{filterTypes + "csrf.v3.CsrfPolicy"}
		l.FilterChains[0].Filters[0].ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: staticRaw(hcm).body}
		return l
	}
	const csrf = `csrf.v3.CsrfPolicy","filterEnabled":{"defaultValue":{"numerator":100}}`
	s, _ := newState(t)
	noError(t, update(t, s, ads.ListenerType, discovering(t, "web", "limit", "}")))
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", bufferOf+"1")))
	before := s.listeners["web"].active
	noError(t, update(t, s, ads.ListenerType, other(t)))
	if s.listeners["web"].active != before {
		t.Error("what is in force does not stay until there is a configuration")
	}
	noError(t, update(t, s, ads.ExtensionType, configuration(t, "limit", csrf)))
	if e := s.listeners["web"]; e.active == before || e.pending != nil {
		t.Error("the new listener does not come into force")
	}
}

// served notes when a listener is put in force.
type served struct {
	since time.Time
	after time.Duration
	ever  bool
}

func (s *served) Update(l []*listener.Config) map[string]error {
	if len(l) > 0 && !s.ever {
		s.ever, s.after = true, time.Since(s.since)
	}
	return nil
}
