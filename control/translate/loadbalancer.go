package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

// minimumRing is the least number of entries of a hash ring by default.
const minimumRing = 1024

// loadBalancer chooses how an endpoint is picked: the one with the fewest
// active requests unless the user says otherwise.
func (b *clusterBuild) loadBalancer(lb *networking.LoadBalancerSettings, m *mesh.Config) {
	c := b.cluster
	if c.GetType() == cluster.Cluster_ORIGINAL_DST {
		return
	}
	if distributes(localitySetting(lb, m)) {
		c.CommonLbConfig.LocalityConfigSpecifier = &cluster.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &cluster.Cluster_CommonLbConfig_LocalityWeightedLbConfig{}}
	}
	if ch := lb.GetConsistentHash(); ch != nil {
		consistentHash(c, ch)
		return
	}
	switch lb.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		c.LbPolicy = cluster.Cluster_ROUND_ROBIN
	case networking.LoadBalancerSettings_RANDOM:
		c.LbPolicy = cluster.Cluster_RANDOM
	case networking.LoadBalancerSettings_PASSTHROUGH:
		c.LbPolicy = cluster.Cluster_CLUSTER_PROVIDED
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST}
		c.EdsClusterConfig, c.LoadAssignment = nil, nil
	default:
		c.LbPolicy = cluster.Cluster_LEAST_REQUEST
	}
	slowStart(c, lb)
}

// consistentHash picks endpoints by a hash of the request; the route says of
// what.
func consistentHash(c *cluster.Cluster, ch *networking.LoadBalancerSettings_ConsistentHashLB) {
	if maglev := ch.GetMaglev(); maglev != nil {
		c.LbPolicy = cluster.Cluster_MAGLEV
		if n := maglev.TableSize; n > 0 {
			c.LbConfig = &cluster.Cluster_MaglevLbConfig_{MaglevLbConfig: &cluster.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(n)}}
		}
		return
	}
	size := uint64(minimumRing)
	if n := ch.GetMinimumRingSize(); n > 0 { //nolint:staticcheck // users still write the old field
		size = n
	}
	if n := ch.GetRingHash().GetMinimumRingSize(); n > 0 {
		size = n
	}
	c.LbPolicy = cluster.Cluster_RING_HASH
	c.LbConfig = &cluster.Cluster_RingHashLbConfig_{RingHashLbConfig: &cluster.Cluster_RingHashLbConfig{
		MinimumRingSize: wrapperspb.UInt64(size)}}
}

// slowStart gives new endpoints less traffic while they warm up.
func slowStart(c *cluster.Cluster, lb *networking.LoadBalancerSettings) {
	w := lb.GetWarmup()
	if w == nil && lb.GetWarmupDurationSecs() != nil { //nolint:staticcheck // users still write the old field
		w = &networking.WarmupConfiguration{Duration: lb.GetWarmupDurationSecs()} //nolint:staticcheck // as above
	}
	if w == nil {
		return
	}
	s := &cluster.Cluster_SlowStartConfig{SlowStartWindow: w.Duration, MinWeightPercent: &typev3.Percent{Value: 10}}
	if w.MinimumPercent != nil {
		s.MinWeightPercent.Value = w.MinimumPercent.Value
	}
	if w.Aggression != nil {
		s.Aggression = &core.RuntimeDouble{DefaultValue: w.Aggression.Value, RuntimeKey: "warmup.aggression"}
	}
	switch c.LbPolicy {
	case cluster.Cluster_ROUND_ROBIN:
		c.LbConfig = &cluster.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &cluster.Cluster_RoundRobinLbConfig{SlowStartConfig: s}}
	case cluster.Cluster_LEAST_REQUEST:
		c.LbConfig = &cluster.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &cluster.Cluster_LeastRequestLbConfig{SlowStartConfig: s}}
	}
}
