package state

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// growing is a route configuration with a virtual host of its own, whose others are
// discovered.
func growing(t *testing.T, name, more string) *routev3.RouteConfiguration {
	return parse(t, &routev3.RouteConfiguration{}, `{"name":"`+name+`","vhds":{"configSource":{"ads":{}`+more+`}},"virtualHosts":[{"name":"own","domains":["own.test"]}]}`)
}

// tellHosts tells virtual hosts for domains, named by them.
func tellHosts(t *testing.T, s *State, more string, domains ...string) error {
	t.Helper()
	u := ads.Update{Type: ads.HostType}
	for _, d := range domains {
		m := parse(t, &routev3.VirtualHost{}, `{"name":"`+d+`","domains":["`+d+`"]`+more+`}`)
		u.Set = append(u.Set, ads.Resource{Name: "80/" + d, Body: staticRaw(m).body})
	}
	return s.Update(u)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// A listener waits for the virtual hosts of its routes; later ones come and go beside
// those that the routes have.
func TestVirtualHosts(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	if got := r.wanted[ads.HostType]; len(r.listeners) != 0 || !slices.Equal(got, []string{ads.Everything}) {
		t.Errorf("got %d listeners, asked for %v", len(r.listeners), got)
	}
	if diff := cmp.Diff(s.Waiting(), []Waiting{{"listener web", []string{"routes 80", "virtual hosts of 80"}}}); diff != "" {
		t.Error(diff)
	}
	noError(t, tellHosts(t, s, "", "a.test"))
	if len(r.listeners) != 1 {
		t.Fatal("the listener does not serve")
	}
	manager := s.listeners["web"].active.Managers[0]
	knows := func(want ...string) {
		t.Helper()
		var got []string
		for _, host := range []string{"own.test", "a.test", "b.test"} {
			if manager.Current().Load().Knows(&stream.Request{Authority: host}) {
				got = append(got, host)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("knows %v, want %v", got, want)
		}
	}
	knows("own.test", "a.test")
	noError(t, tellHosts(t, s, "", "b.test"))
	knows("own.test", "a.test", "b.test")
	table := manager.Current().Load()
	noError(t, tellHosts(t, s, "", "b.test"))
	noError(t, s.Update(ads.Update{Type: ads.HostType, Removed: []string{"81/a.test", "80/c.test", "none"}}))
	if manager.Current().Load() != table {
		t.Error("what came again as it was changes something")
	}
	for more, want := range map[string]string{
		`,"retryPolicyTypedConfig":{}`: `virtual host "80/c.test": retry_policy_typed_config: is not supported`,
		`,"routes":[{"match":{"prefix":"/"},"directResponse":{"status":200},"typedPerFilterConfig":{"router":{"@type":"` + filterTypes + `router.v3.Router"}}}]`: `route "80": virtual host "c.test": routes[0].typed_per_filter_config["router"]: is a filter that is the same`,
	} {
		if err := tellHosts(t, s, more, "c.test"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	knows("own.test", "a.test", "b.test")
	noError(t, s.Update(ads.Update{Type: ads.HostType, Removed: []string{"80/a.test"}}))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", `,"resourceApiVersion":"V3"`)))
	knows("own.test", "b.test")
	m := &routev3.RouteConfiguration{}
	if all := s.Resources(ads.RouteType); len(all) != 1 || all[0].Body.UnmarshalTo(m) != nil || len(m.GetVirtualHosts()) != 2 {
		t.Errorf("got %+v in the dump", all)
	}
	noError(t, update(t, s, ads.RouteType, routes(t, "80", "a")))
	if len(r.wanted[ads.HostType]) != 0 || len(s.hosts) != 0 || manager.Current().Load().Ask != nil {
		t.Errorf("still asked for %v", r.wanted[ads.HostType])
	}
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Full: true}))
	if len(r.wanted[ads.HostType]) != 0 || len(s.hosts) != 0 {
		t.Errorf("asked for %v without a listener", r.wanted[ads.HostType])
	}
}

// A host that a request asks for is asked for by its name, in lower case, until it is
// known what there is. One that there is stays asked for.
func TestHostsOnDemand(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	noError(t, tellHosts(t, s, ""))
	ask := s.listeners["web"].active.Managers[0].Current().Load().Ask
	first, again, other, wrong := ask("A.test"), ask("a.test"), ask("b.test"), ask("c.test")
	if first != again || ask("") != nil || ask("a/b") != nil {
		t.Error("want one thing to wait for of each host, and none of what is no host")
	}
	if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*", "80/a.test", "80/b.test", "80/c.test"}) {
		t.Errorf("asked for %v", got)
	}
	u := ads.Update{Type: ads.HostType, Removed: []string{"80/b.test"}}
	u.Set = []ads.Resource{{Name: "80/alpha", Aliases: []string{"80/a.test"}, Body: staticRaw(&routev3.VirtualHost{Name: "alpha", Domains: []string{"a.test"}}).body}}
	noError(t, s.Update(u))
	if !closed(first) || !closed(other) || closed(wrong) {
		t.Error("want those decided of which something was said")
	}
	if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*", "80/a.test", "80/c.test"}) {
		t.Errorf("asked for %v", got)
	}
	if ask("a.test") != nil {
		t.Error("one that there is may be waited for")
	}
	if again := ask("b.test"); again == nil || closed(again) {
		t.Error("one that there was not is not asked for anew")
	}
	if err := tellHosts(t, s, `,"retryPolicyTypedConfig":{}`, "c.test"); err == nil || !closed(wrong) {
		t.Errorf("%v; want who waits for what is refused to go on", err)
	}
	last := ask("d.test")
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Full: true}))
	if !closed(last) || ask("e.test") != nil {
		t.Error("waits for what nobody is asked for any more")
	}
}

// Virtual hosts may come before their routes, and are told once: neither those that are
// there before, nor those of routes that are away for a while, are lost. Routes of which
// nothing was said wait on.
func TestHostsBeforeRoutes(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80"), rdsListener(t, "web1", "81"), rdsListener(t, "web2", "82")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	host := func(name string) ads.Resource {
		return ads.Resource{Name: name, Body: staticRaw(parse(t, &routev3.VirtualHost{}, `{"name":"a","domains":["a.test"]}`)).body}
	}
	noError(t, s.Update(ads.Update{Type: ads.HostType, Set: []ads.Resource{host("80/a"), host("81/a")}}))
	noError(t, update(t, s, ads.RouteType, growing(t, "81", ""), growing(t, "82", "")))
	if len(r.listeners) != 2 {
		t.Errorf("%d listeners serve, want 2: nothing was said of 82", len(r.listeners))
	}
	knows := func(name string) bool {
		e := s.listeners[name]
		return e.active != nil && e.active.Managers[0].Current().Load().Knows(&stream.Request{Authority: "a.test"})
	}
	if !knows("web") || !knows("web1") {
		t.Error("what came before its routes is lost")
	}
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Removed: []string{"web1"}}))
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web1", "81")))
	noError(t, update(t, s, ads.RouteType, growing(t, "81", "")))
	if !knows("web1") {
		t.Error("what was there before is lost")
	}
	noError(t, s.Update(ads.Update{Type: ads.HostType}))
	if len(r.listeners) != 3 {
		t.Error("waits for hosts though there are none")
	}
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Full: true}))
	if len(s.tables) != 0 {
		t.Errorf("%d tables are kept of whom nobody asks", len(s.tables))
	}
}

// The virtual hosts of a route configuration are taken all or not at all; what is in
// force stays asked for, and those of others do not suffer.
func TestRefusedHosts(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80"), rdsListener(t, "web1", "81")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", ""), growing(t, "81", "")))
	noError(t, tellHosts(t, s, ""))
	ask := s.listeners["web"].active.Managers[0].Current().Load().Ask
	for _, host := range []string{"a.test", "b.test", "c.test"} {
		ask(host)
	}
	noError(t, tellHosts(t, s, "", "a.test"))
	other := ads.Resource{Name: "81/a.test", Body: staticRaw(parse(t, &routev3.VirtualHost{}, `{"name":"a","domains":["a.test"]}`)).body}
	bad := ads.Resource{Name: "80/c.test", Body: staticRaw(parse(t, &routev3.VirtualHost{}, `{"name":"c","domains":["c.test"],"retryPolicyTypedConfig":{}}`)).body}
	good := ads.Resource{Name: "80/b.test", Body: staticRaw(parse(t, &routev3.VirtualHost{}, `{"name":"b","domains":["b.test"]}`)).body}
	if err := s.Update(ads.Update{Type: ads.HostType, Set: []ads.Resource{good, bad, other}, Removed: []string{"80/a.test"}}); err == nil {
		t.Error("not refused")
	}
	first, second := s.listeners["web"].active.Managers[0].Current().Load(), s.listeners["web1"].active.Managers[0].Current().Load()
	a, b := &stream.Request{Authority: "a.test"}, &stream.Request{Authority: "b.test"}
	if !first.Knows(a) || first.Knows(b) || !second.Knows(a) {
		t.Error("want the update for 80 refused, and the one for 81 taken")
	}
	if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*", "80/a.test"}) {
		t.Errorf("asked for %v, want what is in force", got)
	}
}

// A host that came by another name and is taken away by its own is asked for anew.
func TestHostsByOtherNames(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
	noError(t, tellHosts(t, s, ""))
	ask := s.listeners["web"].active.Managers[0].Current().Load().Ask
	ask("a.test")
	noError(t, s.Update(ads.Update{Type: ads.HostType, Set: []ads.Resource{{Name: "80/alpha", Aliases: []string{"80/a.test"}, Body: staticRaw(&routev3.VirtualHost{Name: "alpha", Domains: []string{"a.test"}}).body}}}))
	noError(t, s.Update(ads.Update{Type: ads.HostType, Removed: []string{"80/alpha"}}))
	if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*"}) {
		t.Errorf("asked for %v", got)
	}
	if again := ask("a.test"); again == nil || closed(again) {
		t.Error("not asked for anew")
	}
}

// What requests ask for by name is no longer asked for when its routes are gone, nor
// kept: its changes would not come.
func TestHostsOfRoutesThatGo(t *testing.T) {
	s, r := newState(t)
	noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80"), rdsListener(t, "web1", "81")))
	noError(t, update(t, s, ads.RouteType, growing(t, "80", ""), growing(t, "81", "")))
	noError(t, tellHosts(t, s, "", "always.test"))
	s.listeners["web"].active.Managers[0].Current().Load().Ask("a.test")
	noError(t, tellHosts(t, s, "", "a.test"))
	noError(t, s.Update(ads.Update{Type: ads.ListenerType, Removed: []string{"web"}}))
	if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*"}) {
		t.Errorf("asked for %v", got)
	}
	if got := slices.Collect(maps.Keys(s.tables[ads.Ref{Name: "80"}].hosts)); !slices.Equal(got, []string{"80/always.test"}) {
		t.Errorf("keeps %v", got)
	}
}

// Who is asked for hosts one by one may have nothing to say before: routes are used
// without further virtual hosts when none have come in time.
func TestHostsThatDoNotCome(t *testing.T) {
	for more, took := range map[string]time.Duration{"": 15 * time.Second, `,"initialFetchTimeout":"3s"`: 3 * time.Second, `,"initialFetchTimeout":"0s"`: 0} {
		synctest.Test(t, func(t *testing.T) {
			served := &served{since: time.Now()}
			s := New(Config{Listeners: served, Telemetry: telemetry.New(telemetry.Config{})})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
			noError(t, update(t, s, ads.RouteType, growing(t, "80", more)))
			go func() { defer close(done); _ = s.Run(ctx) }()
			time.Sleep(time.Minute)
			synctest.Wait()
			if served.after != took || served.ever != (took > 0) {
				t.Errorf("%s: serves after %v, %v", more, served.after, served.ever)
			}
			noError(t, tellHosts(t, s, "", "a.test"))
			if !served.ever {
				t.Errorf("%s: does not serve", more)
			}
			cancel()
			<-done
		})
	}
}
