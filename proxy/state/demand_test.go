package state

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// Clusters that requests ask for are asked of their source by name; one that is refused
// is asked for again by the next request.
func TestDemand(t *testing.T) {
	s, r := newState(t)
	for _, step := range []struct {
		source, name string
		key          string
		want         []string
	}{
		{"", "b", ads.ClusterType, []string{"b"}},
		{"", "a", ads.ClusterType, []string{"a", "b"}},
		{"there", "a", "there " + ads.ClusterType, []string{"a"}},
	} {
		if h := s.demand(step.source, step.name); h == nil || h != s.handle(step.name) {
			t.Errorf("%s: got handle %v", step.name, h)
		}
		if diff := cmp.Diff(r.wanted[step.key], step.want); diff != "" {
			t.Errorf("%s of %q: %s", step.name, step.source, diff)
		}
	}
	decided := s.handle("a").Decided()
	noError(t, s.Update(ads.Update{Source: "there", Type: ads.ClusterType, Removed: []string{"a"}}))
	<-decided
	if got := r.wanted["there "+ads.ClusterType]; len(got) != 0 {
		t.Errorf("still asked for %v", got)
	}
	s.demand("there", "a")
	if diff := cmp.Diff(r.wanted["there "+ads.ClusterType], []string{"a"}); diff != "" {
		t.Error("asked again:", diff)
	}
	if s.demand("", "*") != nil {
		t.Error("everything is asked for by a request")
	}
}

// Names that requests choose leave nothing behind: not those that are too many, nor
// those that are refused. What a configuration names stays.
func TestDemandIsBounded(t *testing.T) {
	var log strings.Builder
	s := New(Config{Listeners: &recorder{}, Telemetry: telemetry.New(telemetry.Config{}), Log: slog.New(slog.NewTextHandler(&log, nil))})
	var names []string
	for i := range mostDemanded {
		names = append(names, fmt.Sprint("name-", i))
		if s.demand("there", names[i]) == nil {
			t.Fatalf("%s is not asked for", names[i])
		}
	}
	used := s.handle(names[0])
	noError(t, s.Update(ads.Update{Source: "there", Type: ads.ClusterType, Removed: names}))
	if s.lookup(names[0]) != used || len(s.handles) != 1 || len(s.passing) != 0 {
		t.Errorf("%d handles of refused clusters are kept", len(s.handles)-1)
	}
	s.demanded.most = 2
	for _, name := range []string{"a", "b"} {
		s.demand("", name)
		noError(t, update(t, s, ads.ClusterType, parse(t, &clusterv3.Cluster{}, `{"name":"`+name+`","type":"STATIC"}`)))
	}
	for range 2 {
		if s.demand("there", "c") != nil || s.demand("", "c") != nil || s.lookup("c") != nil {
			t.Error("one too many is asked for, or remembered")
		}
	}
	if got := strings.Count(log.String(), "too many"); got != 1 {
		t.Errorf("said %d times, want once", got)
	}
	if s.demand("", "a") == nil {
		t.Error("one that there is is refused")
	}
}

// Names of which nobody says anything make room for others, once a second at most:
// whoever waits for them goes on.
func TestUnheardDemandsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newState(t)
		noError(t, update(t, s, ads.ListenerType, rdsListener(t, "web", "80")))
		noError(t, update(t, s, ads.RouteType, growing(t, "80", "")))
		noError(t, tellHosts(t, s, ""))
		ask := s.listeners["web"].active.Managers[0].Current().Load().Ask
		s.demanded.most, s.demandedHosts.most = 1, 1
		waiting, host := s.demand("", "a").Decided(), ask("a")
		for _, name := range []string{"b", "c"} {
			if s.demand("", name) == nil || ask(name) == nil {
				t.Errorf("%s is not asked for", name)
			}
			if s.demand("", "more") != nil || ask("more") != nil {
				t.Error("room is made twice within a second")
			}
			time.Sleep(time.Second)
		}
		if !closed(waiting) || !closed(host) {
			t.Error("those before still wait")
		}
		if got := r.wanted[ads.HostType]; !slices.Equal(got, []string{"*", "80/c"}) || !slices.Equal(r.wanted[ads.ClusterType], []string{"c"}) {
			t.Errorf("asked for %v and %v", got, r.wanted[ads.ClusterType])
		}
	})
}

// A cluster that came and is refused later is forgotten, too; one that another source
// is asked for is not.
func TestRefusedLater(t *testing.T) {
	s, _ := newState(t)
	s.demand("", "a")
	kept := s.demand("there", "a")
	noError(t, update(t, s, ads.ClusterType, parse(t, &clusterv3.Cluster{}, `{"name":"a","type":"STATIC"}`)))
	noError(t, s.Update(ads.Update{Type: ads.ClusterType, Removed: []string{"a"}}))
	if s.lookup("a") != kept {
		t.Error("forgotten while another source is asked")
	}
	noError(t, s.Update(ads.Update{Source: "there", Type: ads.ClusterType, Removed: []string{"a"}}))
	if s.lookup("a") != nil {
		t.Error("not forgotten")
	}
}
