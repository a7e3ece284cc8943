package admin

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/internal/promtext"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/overload"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// kinds are the prefixes of statistics about each type of resource.
var kinds = map[string]string{
	ads.ClusterType: "cluster_manager.cds", ads.EndpointType: "cluster_manager.eds", ads.ListenerType: "listener_manager.lds", ads.RouteType: "http.rds", ads.ScopeType: "http.scoped_rds", ads.HostType: "http.vhds", ads.SecretType: "sds",
	ads.ExtensionType: "extension_config_discovery.http_filter",
}

// samples lists the statistics that are kept, by name, counters since their last reset.
func (s *Server) samples() []stream.Statistic {
	all := s.everything()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range all {
		x := &all[i]
		if x.Gauge {
			continue
		}
		if x.Value < s.zero[x.Name] { // it has been born again
			delete(s.zero, x.Name)
		}
		x.Value -= s.zero[x.Name]
	}
	return all
}

// reset lets counters begin anew. Istio's standard metrics go on: whoever
// scrapes them counts on it.
func (s *Server) reset(w http.ResponseWriter, _ *http.Request) {
	zero := map[string]int64{}
	for _, x := range s.everything() {
		if !x.Gauge {
			zero[x.Name] = x.Value
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zero = zero
	fmt.Fprintln(w, "OK")
}

// everything lists the statistics that are kept, by name, each name once.
func (s *Server) everything() []stream.Statistic {
	all := s.gathered()
	if s.config.Include != nil {
		all = slices.DeleteFunc(all, func(x stream.Statistic) bool { return !s.config.Include(x.Name) })
	}
	return merge(all, byName)
}

// gathered lists all statistics, whoever counts them.
func (s *Server) gathered() []stream.Statistic {
	var out []stream.Statistic
	plain := func(name string, gauge bool, v int64) {
		out = append(out, stream.Statistic{Name: name, Family: name, Gauge: gauge, Value: v})
	}
	state, alive := s.liveness(), int64(0)
	if state == live {
		alive = 1
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	plain("server.state", true, int64(state))
	plain("server.live", true, alive)
	plain("server.uptime", true, int64(time.Since(s.started).Seconds()))
	plain("server.memory_allocated", true, int64(m.HeapAlloc))
	plain("server.memory_heap_size", true, int64(m.HeapSys))
	plain("server.concurrency", true, int64(runtime.GOMAXPROCS(0)))
	plain("server.total_connections", true, s.config.Listeners.Active())
	plain("listener_manager.workers_started", true, 1)
	plain("listener_manager.total_listeners_active", true, int64(len(s.config.State.Listeners())))
	plain("cluster_manager.active_clusters", true, int64(len(s.config.State.Clusters())))
	control := s.config.Control()
	connected := int64(0)
	if control.Connected {
		connected = 1
	}
	plain("control_plane.connected_state", true, connected)
	for _, url := range slices.Sorted(maps.Keys(kinds)) {
		t := control.Types[url]
		plain(kinds[url]+".update_success", false, int64(t.Accepted))
		plain(kinds[url]+".update_rejected", false, int64(t.Rejected))
	}
	s.config.Overload.Each(func(resource string, percent int64) { plain("overload."+resource+".pressure", true, percent) }, func(a overload.Action, percent int64) {
		name := "overload.envoy.overload_actions." + a.String()
		plain(name+".active", true, min(1, percent/100))
		plain(name+".scale_percent", true, percent)
	})
	s.runtimeSamples(plain)
	if s.config.Statistics != nil {
		s.config.Statistics(func(x stream.Statistic) { out = append(out, x) })
	}
	return append(append(out, s.clusterSamples()...), s.listenerSamples()...)
}

// wellOf counts a cluster's endpoints that are well, and those that are degraded.
func wellOf(c *cluster.Cluster) (healthy, degraded int64) {
	now := time.Now()
	for _, h := range c.Hosts() {
		switch {
		case !h.Usable(now):
		case h.Degraded():
			degraded++
		default:
			healthy++
		}
	}
	return healthy, degraded
}

// owned adds statistics of one cluster or listener to a list.
type owned struct {
	kind, name, labels string
	to                 *[]stream.Statistic
}

func (o *owned) add(stat string, gauge bool, v int64) {
	*o.to = append(*o.to, stream.Statistic{Name: o.kind + "." + o.name + "." + stat, Family: o.kind + "." + stat, Labels: o.labels, Gauge: gauge, Value: v})
}

func (o *owned) spread(stat string, times *stream.Occasional) {
	o.add(stat, false, 0)
	d := times.Read()
	(*o.to)[len(*o.to)-1].Spread = &d
}

func (s *Server) clusterSamples() []stream.Statistic {
	var out []stream.Statistic
	for _, c := range s.config.State.Clusters() {
		name := statName(c)
		all := owned{"cluster", name, promtext.Label("cluster_name", strings.TrimSuffix(name, ";")), &out} // the semicolon ends the name for Istio's tags
		add := all.add
		st := &c.Stats
		healthy, degraded := wellOf(c)
		for _, each := range []struct {
			name  string
			gauge bool
			value int64
		}{
			{"upstream_cx_total", false, st.CxTotal.Load()}, {"upstream_cx_active", true, st.CxActive.Load()},
			{"upstream_cx_connect_fail", false, st.CxConnectFail.Load()}, {"upstream_cx_overflow", false, st.CxOverflow.Load()},
			{"upstream_cx_rx_bytes_total", false, st.Traffic.In.Load()}, {"upstream_cx_tx_bytes_total", false, st.Traffic.Out.Load()},
			{"upstream_rq_total", false, st.RqTotal.Load()}, {"upstream_rq_active", true, c.Requests()},
			{"upstream_rq_timeout", false, st.RqTimeout.Load()}, {"upstream_rq_per_try_timeout", false, st.RqPerTryTimeout.Load()}, {"upstream_rq_per_try_idle_timeout", false, st.RqPerTryIdleTimeout.Load()},
			{"upstream_rq_retry", false, st.RqRetry.Load()}, {"upstream_rq_retry_success", false, st.RqRetrySuccess.Load()},
			{"upstream_rq_retry_overflow", false, st.RqRetryOverflow.Load()}, {"upstream_rq_retry_limit_exceeded", false, st.RqRetryLimit.Load()},
			{"upstream_internal_redirect_succeeded_total", false, st.RedirectsSucceeded.Load()}, {"upstream_internal_redirect_failed_total", false, st.RedirectsFailed.Load()},
			{"upstream_rq_pending_overflow", false, st.RqPendingOverflow.Load()}, {"upstream_rq_rx_reset", false, st.RqRxReset.Load()},
			{"upstream_rq_tx_reset", false, st.RqTxReset.Load()}, {"upstream_cx_none_healthy", false, st.NoneHealthy.Load()},
			{"upstream_rq_1xx", false, st.Rq1xx.Load()}, {"upstream_rq_2xx", false, st.Rq2xx.Load()}, {"upstream_rq_3xx", false, st.Rq3xx.Load()},
			{"upstream_rq_4xx", false, st.Rq4xx.Load()}, {"upstream_rq_5xx", false, st.Rq5xx.Load()},
			{"outlier_detection.ejections_active", true, int64(c.Ejected(time.Now()))}, {"outlier_detection.ejections_enforced_total", false, st.EjectionsTotal.Load()}, {"outlier_detection.ejections_overflow", false, st.EjectionsOverflow.Load()},
			{"upstream_rq_completed", false, st.Rq1xx.Load() + st.Rq2xx.Load() + st.Rq3xx.Load() + st.Rq4xx.Load() + st.Rq5xx.Load()}, {"membership_healthy", true, healthy}, {"membership_degraded", true, degraded},
			{"upstream_cx_destroy", false, max(0, st.CxTotal.Load()-st.CxActive.Load())},
			{"membership_total", true, st.MembershipTotal.Load()}, {"update_success", false, st.UpdateSuccess.Load()},
		} {
			add(each.name, each.gauge, each.value)
		}
		st.Codes.Each(func(status int, n int64) { add("upstream_rq_"+strconv.Itoa(status), false, n) })
		st.Filters.Each(func(stat string, n int64) { add(stat, false, n) })
		for stat, times := range map[string]*stream.Occasional{"upstream_rq_time": &st.RqTime, "upstream_cx_connect_ms": &st.CxConnect, "upstream_cx_length_ms": &st.CxLength} {
			all.spread(stat, times)
		}
		for _, b := range []struct {
			name    string
			breaker *cluster.Breaker
		}{{"default", &c.Default}, {"high", &c.High}} {
			left, tracked := b.breaker.Remaining()
			if !tracked {
				continue
			}
			for _, each := range []struct {
				name  string
				value int64
			}{{"cx", left.Connections}, {"pending", left.Pending}, {"rq", left.Requests}, {"retries", left.Retries}} {
				add("circuit_breakers."+b.name+".remaining_"+each.name, true, each.value)
			}
		}
	}
	return out
}

func (s *Server) listenerSamples() []stream.Statistic {
	var out []stream.Statistic
	addresses := map[string]string{}
	for _, c := range s.config.State.Listeners() {
		addresses[c.Name] = strings.ReplaceAll(c.Address.String(), ":", "_")
	}
	stats := s.config.Listeners.StatsOf()
	for _, name := range slices.Sorted(maps.Keys(stats)) {
		st, at := stats[name], addresses[name]
		all := owned{"listener", at, promtext.Label("listener_address", at), &out}
		add := all.add
		add("downstream_cx_total", false, st.Total.Load())
		add("downstream_cx_active", true, st.Active.Load())
		add("no_filter_chain_match", false, st.NoChain.Load())
		add("ssl.connection_error", false, st.HandshakeError.Load())
		add("downstream_global_cx_overflow", false, st.Overflow.Load())
		add("downstream_proxy_proto_error", false, st.ProxyProtocolError.Load())
		add("downstream_pre_cx_timeout", false, st.InspectTimeout.Load())
		all.spread("downstream_cx_length_ms", &st.Length)
	}
	return out
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("format") == "prometheus" {
		s.prometheus(w, r)
		return
	}
	keep, err := filter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	all := slices.DeleteFunc(s.samples(), func(x stream.Statistic) bool { return !keep(x) })
	if q.Get("format") == "json" {
		writeJSON(w, map[string]any{"stats": statsJSON(all)})
		return
	}
	for _, x := range all {
		if x.Spread != nil {
			fmt.Fprintf(w, "%s: %s\n", x.Name, spreadText(x.Spread))
			continue
		}
		fmt.Fprintf(w, "%s: %d\n", x.Name, x.Value)
	}
}

// filter reads which statistics are asked for.
func filter(r *http.Request) (func(stream.Statistic) bool, error) {
	q := r.URL.Query()
	used := q.Has("usedonly")
	var re *regexp.Regexp
	if pattern := q.Get("filter"); pattern != "" {
		var err error
		if re, err = regexp.Compile(pattern); err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
	}
	return func(x stream.Statistic) bool {
		unused := x.Value == 0 && !x.Gauge && (x.Spread == nil || x.Spread.Total == 0)
		return !(used && unused) && (re == nil || re.MatchString(x.Name))
	}, nil
}

func (s *Server) prometheus(w http.ResponseWriter, r *http.Request) {
	keep, err := filter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if err := s.config.Metrics(w); err != nil {
		return // the client is gone
	}
	writeFamilies(w, slices.DeleteFunc(s.samples(), func(x stream.Statistic) bool { return !keep(x) }))
}

func writeFamilies(w io.Writer, all []stream.Statistic) {
	known := map[string]metric{}
	for i := range all {
		x := &all[i]
		m, ok := known[x.Family]
		if !ok {
			m = metricOf(x.Family)
			known[x.Family] = m
		}
		x.Family = m.name
		if x.Labels != "" && m.labels != "" {
			x.Labels += ","
		}
		x.Labels += m.labels
	}
	last := ""
	for _, x := range merge(all, bySeries) {
		if x.Family != last {
			fmt.Fprintf(w, "# TYPE %s %s\n", x.Family, kindOf(x))
			last = x.Family
		}
		if x.Spread != nil {
			_, _ = w.Write(promtext.AppendHistogram(nil, x.Family, x.Labels, promtext.Distribution{Bounds: stream.Bounds[:], UpTo: x.Spread.UpTo[:], Sum: x.Spread.Sum, Total: x.Spread.Total}))
			continue
		}
		labels := ""
		if x.Labels != "" {
			labels = "{" + x.Labels + "}"
		}
		fmt.Fprintf(w, "%s%s %d\n", x.Family, labels, x.Value)
	}
}
