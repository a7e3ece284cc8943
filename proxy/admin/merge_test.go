package admin

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/state"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// serving is a server that shows clusters and some statistics besides.
func serving(t *testing.T, statistics []stream.Statistic, clusters ...*clusterv3.Cluster) (*state.State, func(method, path string) string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	listeners := listener.NewSet(listener.Deps{Log: log})
	st := state.New(state.Config{Listeners: listeners, Clusters: cluster.Deps{Log: log}, Log: log})
	if err := st.Static(nil, clusters, nil); err != nil {
		t.Fatal(err)
	}
	s := New(Config{State: st, Listeners: listeners, Ready: func() bool { return true }, Control: func() ads.Status { return ads.Status{} },
		Metrics: func(io.Writer) error { return nil },
		Statistics: func(f func(stream.Statistic)) {
			for _, x := range statistics {
				f(x)
			}
		}})
	return st, func(method, path string) string {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		return rec.Body.String()
	}
}

// Clusters of one name for statistics count together, and begin anew together.
func TestSharedNamesCountTogether(t *testing.T) {
	st, ask := serving(t, nil, &clusterv3.Cluster{Name: "v1", AltStatName: "shop"}, &clusterv3.Cluster{Name: "v2", AltStatName: "shop"})
	for i, c := range st.Clusters() {
		c.Stats.CxTotal.Store(int64(5 * (i + 1)))
		c.Stats.CxActive.Store(1)
		c.Stats.RqTime.Observe(7)
	}
	const counted = "/stats?filter=^cluster.shop.upstream_cx_(total|active)$"
	if got, want := ask("GET", counted), "cluster.shop.upstream_cx_active: 2\ncluster.shop.upstream_cx_total: 15\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	text := ask("GET", "/stats/prometheus")
	for _, want := range []string{"envoy_cluster_upstream_cx_total{cluster_name=\"shop\"} 15\n", "envoy_cluster_upstream_rq_time_count{cluster_name=\"shop\"} 2\n",
		"envoy_cluster_upstream_rq_time_sum{cluster_name=\"shop\"} 14\n", "envoy_cluster_upstream_rq_time_bucket{cluster_name=\"shop\",le=\"10\"} 2\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%d times %s in\n%s", strings.Count(text, want), want, text)
		}
	}
	noTwice(t, text)
	ask("POST", "/reset_counters")
	if got, want := ask("GET", counted), "cluster.shop.upstream_cx_active: 2\ncluster.shop.upstream_cx_total: 0\n"; got != want {
		t.Errorf("reset: got %q; want %q", got, want)
	}
}

// A counter that begins at nothing is shown as it counts, though one of its name had
// counted before the reset.
func TestCountersThatAreReborn(t *testing.T) {
	counted := []stream.Statistic{{Name: "a", Family: "a", Value: 9}}
	_, ask := serving(t, counted)
	ask("POST", "/reset_counters")
	for _, each := range []struct {
		value int64
		want  string
	}{{9, "a: 0\n"}, {11, "a: 2\n"}, {2, "a: 2\n"}, {10, "a: 10\n"}} {
		counted[0].Value = each.value
		if got := ask("GET", "/stats?filter=^a$"); got != each.want {
			t.Errorf("%d: got %q; want %q", each.value, got, each.want)
		}
	}
}

// Names that Prometheus cannot tell apart are one series.
func TestSeriesAreToldOnce(t *testing.T) {
	label := `http_conn_manager_prefix="web"`
	_, ask := serving(t, []stream.Statistic{
		{Name: "a.b.ok", Family: "a.b.ok", Value: 1}, {Name: "a-b.ok", Family: "a-b.ok", Value: 2},
		{Name: "http.web.no_route", Family: "http.no_route", Labels: label, Value: 3}, {Name: "http.web;.no_route", Family: "http.no_route", Labels: label, Value: 4},
	})
	text := ask("GET", "/stats/prometheus")
	for _, want := range []string{"envoy_a_b_ok 3\n", "envoy_http_no_route{" + label + "} 7\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	noTwice(t, text)
}

// A name is quoted as Prometheus reads it, which knows fewer escapes than Go.
func TestNamesAreQuotedForPrometheus(t *testing.T) {
	_, ask := serving(t, nil, &clusterv3.Cluster{Name: "odd\u200b"})
	if text := ask("GET", "/stats/prometheus"); !strings.Contains(text, "envoy_cluster_membership_total{cluster_name=\"odd\u200b\"} 0\n") {
		t.Errorf("got\n%s", text)
	}
}

// noTwice says which series of a Prometheus page stand there twice.
func noTwice(t *testing.T, text string) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if series := line[:strings.LastIndexByte(line, ' ')]; seen[series] {
			t.Errorf("twice: %s", series)
		} else {
			seen[series] = true
		}
	}
}
