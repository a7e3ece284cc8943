package compile

import (
	"cmp"
	"fmt"
	"math"
	"math/big"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	providedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	wrrv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/model"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/runtime"
)

// policy reads how a cluster's endpoints are chosen, in the older spelling or, in
// its stead, as a list of extensions.
func (c *Cluster) policy(m *clusterv3.Cluster) error {
	if t := m.GetCommonLbConfig().GetHealthyPanicThreshold(); t != nil {
		c.Config.Panic = math.Trunc(t.GetValue()) // whole percent, as Envoy has it
	}
	if err := c.override(m.GetCommonLbConfig().GetOverrideHostStatus()); err != nil {
		return fieldcheck.At("common_lb_config.override_host_status", err)
	}
	if list := m.GetLoadBalancingPolicy(); list != nil {
		return fieldcheck.At("load_balancing_policy", c.extensionPolicy(list))
	}
	common := m.GetCommonLbConfig()
	c.Config.LocalityWeighted = common.GetLocalityWeightedLbConfig() != nil
	if p := m.GetLbPolicy(); p != clusterv3.Cluster_RING_HASH && p != clusterv3.Cluster_MAGLEV { // keys know no zones
		c.Config.Zones = zones(common.GetZoneAwareLbConfig())
	}
	c.balance(common.GetConsistentHashingLbConfig())
	if common.GetConsistentHashingLbConfig().GetUseHostnameForHashing() && m.GetType() != clusterv3.Cluster_STRICT_DNS {
		return fieldcheck.Refuse("common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing", "is for STRICT_DNS clusters only, in this spelling")
	}
	switch p := m.GetLbPolicy(); p {
	case clusterv3.Cluster_ROUND_ROBIN, clusterv3.Cluster_CLUSTER_PROVIDED:
		c.Config.Policy = cluster.RoundRobin
		c.slowStart(m.GetRoundRobinLbConfig().GetSlowStartConfig())
	case clusterv3.Cluster_LEAST_REQUEST:
		c.Config.Policy = cluster.LeastRequest
		c.slowStart(m.GetLeastRequestLbConfig().GetSlowStartConfig())
		c.leastRequest(m.GetLeastRequestLbConfig())
	case clusterv3.Cluster_RANDOM:
		c.Config.Policy = cluster.Random
	case clusterv3.Cluster_RING_HASH:
		c.Config.Policy = cluster.RingHash
		c.hashing().Murmur = m.GetRingHashLbConfig().GetHashFunction() == clusterv3.Cluster_RingHashLbConfig_MURMUR_HASH_2
		if err := c.ring(m.GetRingHashLbConfig()); err != nil {
			return fieldcheck.At("ring_hash_lb_config", err)
		}
	case clusterv3.Cluster_MAGLEV:
		c.Config.Policy = cluster.Maglev
		if err := c.table(m.GetMaglevLbConfig()); err != nil {
			return fieldcheck.At("maglev_lb_config", err)
		}
	default:
		return fieldcheck.Refuse("lb_policy", "%s is not supported", p)
	}
	return nil
}

// override reads how well an endpoint has to be that a request asks for: those that
// are well and those that are degraded may always be had, and those that drain
// where that is said.
func (c *Cluster) override(m *corev3.HealthStatusSet) error {
	if m == nil {
		return nil
	}
	named := map[corev3.HealthStatus]bool{}
	for i, s := range m.GetStatuses() {
		if named[s] = true; health[s] == model.Unhealthy {
			return fieldcheck.Refuse(fmt.Sprintf("statuses[%d]", i), "%s is not supported: such an endpoint is never chosen", s)
		}
	}
	if !named[corev3.HealthStatus_UNKNOWN] && !named[corev3.HealthStatus_HEALTHY] || !named[corev3.HealthStatus_DEGRADED] {
		return fieldcheck.Refuse("statuses", "has to name UNKNOWN or HEALTHY, and DEGRADED")
	}
	c.Config.OverrideDraining = named[corev3.HealthStatus_DRAINING]
	return nil
}

// extensionPolicy takes the first policy of the list whose type is known, as Envoy
// does.
func (c *Cluster) extensionPolicy(list *clusterv3.LoadBalancingPolicy) error {
	err := fieldcheck.Refuse("policies", "is empty")
	for i, p := range list.GetPolicies() {
		at := fmt.Sprintf("policies[%d].typed_extension_config.typed_config", i)
		m, refused := open(p.GetTypedExtensionConfig().GetTypedConfig())
		if refused == nil {
			refused = Fields.CheckFields(m)
		}
		if refused != nil {
			err = fieldcheck.At(at, refused)
			if known(p.GetTypedExtensionConfig().GetTypedConfig()) {
				return err
			}
			continue
		}
		return fieldcheck.At(at, c.onePolicy(m))
	}
	return err
}

func (c *Cluster) onePolicy(m proto.Message) error {
	switch m := m.(type) {
	case *roundv3.RoundRobin:
		c.Config.Policy = cluster.RoundRobin
		c.slowStart(m.GetSlowStartConfig())
		c.localities(m.GetLocalityLbConfig())
	case *leastv3.LeastRequest:
		c.Config.Policy = cluster.LeastRequest
		c.leastRequest(m)
		c.Config.FullScan = m.GetSelectionMethod() == leastv3.LeastRequest_FULL_SCAN || m.GetEnableFullScan().GetValue() //nolint:staticcheck // files still say so
		c.slowStart(m.GetSlowStartConfig())
		c.localities(m.GetLocalityLbConfig())
	case *randomv3.Random:
		c.Config.Policy = cluster.Random
		c.localities(m.GetLocalityLbConfig())
	case *ringv3.RingHash:
		c.Config.Policy = cluster.RingHash
		c.hashing().Murmur = m.GetHashFunction() == ringv3.RingHash_MURMUR_HASH_2
		c.balance(m) // as files still say it
		if m.GetConsistentHashingLbConfig() != nil {
			c.balance(m.GetConsistentHashingLbConfig())
		}
		c.Config.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
		return c.ring(m)
	case *maglevv3.Maglev:
		c.Config.Policy = cluster.Maglev
		c.balance(m.GetConsistentHashingLbConfig())
		c.Config.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
		return c.table(m)
	case *wrrv3.WrrLocality:
		if err := c.extensionPolicy(m.GetEndpointPickingPolicy()); err != nil {
			return fieldcheck.At("endpoint_picking_policy", err)
		}
		c.Config.LocalityWeighted = true
	case *providedv3.ClusterProvided:
		c.Config.Policy = cluster.RoundRobin
	default:
		return fieldcheck.Refuse("", "%s is not a balancing policy that is supported", m.ProtoReflect().Descriptor().FullName())
	}
	return nil
}

func (c *Cluster) localities(m *commonv3.LocalityLbConfig) {
	c.Config.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	z := m.GetZoneAwareLbConfig()
	if c.Config.Zones = zones(z); z == nil {
		return
	}
	if z.GetForceLocalityDirectRouting() { //nolint:staticcheck // files still say so
		c.Config.Zones.Force = 1
	}
	if f := z.GetForceLocalZone(); f != nil {
		c.Config.Zones.Force = max(1, f.GetMinSize().GetValue())
	}
	c.Config.Zones.Weighted = z.GetLocalityBasis() == commonv3.LocalityLbConfig_ZoneAwareLbConfig_HEALTHY_HOSTS_WEIGHT
}

// usualZones holds where nothing is said: near endpoints are preferred as soon as
// it is known where the proxies are.
var usualZones = &cluster.Zones{Enabled: 100, Least: 6}

// zones compiles how near endpoints are preferred, in either spelling.
func zones[M interface {
	comparable
	GetRoutingEnabled() *typev3.Percent
	GetMinClusterSize() *wrapperspb.UInt64Value
	GetFailTrafficOnPanic() bool
}](m M) *cluster.Zones {
	var none M
	if m == none {
		return usualZones
	}
	z := *usualZones
	z.FailOnPanic = m.GetFailTrafficOnPanic()
	if p := m.GetRoutingEnabled(); p != nil {
		z.Enabled = p.GetValue()
	}
	if n := m.GetMinClusterSize(); n != nil {
		z.Least = n.GetValue()
	}
	return &z
}

// hashing is how keys find endpoints.
func (c *Cluster) hashing() *cluster.Hashing {
	if c.Config.Hashing == nil {
		c.Config.Hashing = &cluster.Hashing{}
	}
	return c.Config.Hashing
}

// balance reads how keys are spread, in any of the spellings.
func (c *Cluster) balance(m interface {
	GetUseHostnameForHashing() bool
	GetHashBalanceFactor() *wrapperspb.UInt32Value
},
) {
	if !m.GetUseHostnameForHashing() && m.GetHashBalanceFactor() == nil {
		return
	}
	c.hashing().ByHostname, c.hashing().Balance = m.GetUseHostnameForHashing(), m.GetHashBalanceFactor().GetValue()
}

// mostPoints bounds a ring's size, as Envoy does.
const mostPoints = 8 << 20

func (c *Cluster) ring(m interface {
	GetMinimumRingSize() *wrapperspb.UInt64Value
	GetMaximumRingSize() *wrapperspb.UInt64Value
},
) error {
	least, most := m.GetMinimumRingSize().GetValue(), m.GetMaximumRingSize().GetValue()
	c.hashing().RingMin, c.hashing().RingMax = least, most
	switch {
	case max(least, most) > mostPoints:
		return fieldcheck.Refuse("maximum_ring_size", "is at most %d", mostPoints)
	case cmp.Or(least, 1024) > cmp.Or(most, mostPoints):
		return fieldcheck.Refuse("minimum_ring_size", "%d is more than maximum_ring_size", cmp.Or(least, 1024))
	}
	return nil
}

// mostSlots bounds a table's size, as Envoy does.
const mostSlots = 5_000_011

func (c *Cluster) table(m interface {
	GetTableSize() *wrapperspb.UInt64Value
}) error {
	c.hashing().TableSize = m.GetTableSize().GetValue()
	if n := m.GetTableSize(); n != nil && (n.GetValue() > mostSlots || !big.NewInt(int64(n.GetValue())).ProbablyPrime(0)) {
		return fieldcheck.Refuse("table_size", "has to be a prime number, at most %d", mostSlots)
	}
	return nil
}

// leastRequest reads how the least busy endpoint is found, in either spelling.
func (c *Cluster) leastRequest(m interface {
	GetChoiceCount() *wrapperspb.UInt32Value
	GetActiveRequestBias() *corev3.RuntimeDouble
},
) {
	c.Config.Choices = m.GetChoiceCount().GetValue()
	if b := m.GetActiveRequestBias(); b != nil {
		bias := c.number(b)
		c.Config.Bias = &bias
	}
}

// number is one that a key in the runtime may replace.
func (c *Cluster) number(p *corev3.RuntimeDouble) runtime.Number {
	return runtime.Number{Value: p.GetDefaultValue(), Key: c.runtime.Key(p.GetRuntimeKey())}
}

// slowStart compiles how new endpoints take up their work.
func (c *Cluster) slowStart(m interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
},
) {
	if m.GetSlowStartWindow().AsDuration() <= 0 {
		return
	}
	s := &cluster.SlowStart{Window: m.GetSlowStartWindow().AsDuration(), Aggression: c.number(m.GetAggression()), Least: 0.1}
	if p := m.GetMinWeightPercent(); p != nil {
		s.Least = p.GetValue() / 100
	}
	c.Config.SlowStart = s
}
