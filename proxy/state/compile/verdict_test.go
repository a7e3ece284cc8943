package compile

import (
	"testing"

	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	globalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/filter/extauthz"
	"github.com/lateenmesh/lateen/proxy/filter/ratelimit"
	"github.com/lateenmesh/lateen/proxy/route"
)

// What a filter decides is counted for the cluster of the request, which is only looked
// for where the route does not tell it, and without memory.
func TestVerdictsAreCountedForClusters(t *testing.T) {
	c := compiler()
	handle := func(name string) *cluster.Handle {
		h := cluster.NewHandle(name)
		h.Store(&cluster.Cluster{})
		return h
	}
	one, other := handle("one"), handle("other")
	looked := 0
	c.Handle = cluster.NewHandle
	c.Lookup = func(name string) *cluster.Handle {
		looked++
		return map[string]*cluster.Handle{"one": one, "other": other}[name]
	}
	on := &spot{forward: &route.Forward{Clusters: []route.Weighted{{Cluster: one}}}}

	authzConfig, limitConfig := &authzv3.ExtAuthz{}, &globalv3.RateLimit{}
	read(t, authzConfig, `{"stat_prefix": "p", "grpc_service": {"envoy_grpc": {"cluster_name": "s"}}}`)
	build, err := extAuthzFilter(c, authzConfig)
	if err != nil {
		t.Fatal(err)
	}
	f, err := build(nil, on)
	if err != nil {
		t.Fatal(err)
	}
	authz := f.(*extauthz.Filter)

	read(t, limitConfig, `{"domain": "d", "rate_limit_service": {"grpc_service": {"envoy_grpc": {"cluster_name": "s"}}}, "rate_limits": [{"actions": [{"remote_address": {}}]}]}`)
	if build, err = globalLimitFilter(c, limitConfig); err != nil {
		t.Fatal(err)
	}
	if f, err = build(nil, on); err != nil {
		t.Fatal(err)
	}
	limit := f.(*ratelimit.Global)

	for statistic, filter := range map[string]struct {
		count  func(cluster, outcome string)
		charge func(cluster string, status int)
	}{"ext_authz.p.ok": {authz.Count, authz.Charge}, "ratelimit.ok": {limit.Count, limit.Charge}} {
		looked = 0
		count := func(cluster string) {
			filter.count(cluster, "ok")
			filter.charge(cluster, 403)
		}
		count("one")
		if n := testing.AllocsPerRun(8, func() { count("one") }); n != 0 || looked != 0 {
			t.Errorf("%s: %v allocations, %d clusters looked for", statistic, n, looked)
		}
		count("other")
		count("none")
		count("")
		for name, want := range map[*cluster.Handle]int64{one: 10, other: 1} {
			got := map[string]int64{}
			name.Load().Stats.Filters.Each(func(what string, n int64) { got[what] += n })
			if got[statistic] != want {
				t.Errorf("%s: %s counted %v, want %d", statistic, name.Name(), got, want)
			}
		}
	}
	if got := one.Load().Stats.Rq4xx.Load(); got != 20 {
		t.Errorf("%d replies, want 20", got)
	}
}
