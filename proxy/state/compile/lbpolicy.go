package compile

import (
	"fmt"

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

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
)

// policy reads how a cluster's endpoints are chosen, in the older spelling or, in
// its stead, as a list of extensions.
func (c *Cluster) policy(m *clusterv3.Cluster) error {
	if t := m.GetCommonLbConfig().GetHealthyPanicThreshold(); t != nil {
		c.Config.Panic = t.GetValue()
	}
	for _, s := range m.GetCommonLbConfig().GetOverrideHostStatus().GetStatuses() {
		c.Config.OverrideDraining = c.Config.OverrideDraining || s == corev3.HealthStatus_DRAINING
	}
	if list := m.GetLoadBalancingPolicy(); list != nil {
		return fieldcheck.At("load_balancing_policy", c.extensionPolicy(list))
	}
	c.Config.LocalityWeighted = m.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
	switch p := m.GetLbPolicy(); p {
	case clusterv3.Cluster_ROUND_ROBIN, clusterv3.Cluster_CLUSTER_PROVIDED:
		c.Config.Policy = cluster.RoundRobin
		c.slowStart(m.GetRoundRobinLbConfig().GetSlowStartConfig())
	case clusterv3.Cluster_LEAST_REQUEST:
		c.Config.Policy = cluster.LeastRequest
		c.slowStart(m.GetLeastRequestLbConfig().GetSlowStartConfig())
		c.Config.Choices = m.GetLeastRequestLbConfig().GetChoiceCount().GetValue()
	case clusterv3.Cluster_RANDOM:
		c.Config.Policy = cluster.Random
	case clusterv3.Cluster_RING_HASH:
		c.Config.Policy = cluster.RingHash
		c.Config.RingMin = m.GetRingHashLbConfig().GetMinimumRingSize().GetValue()
		c.Config.RingMax = m.GetRingHashLbConfig().GetMaximumRingSize().GetValue()
	case clusterv3.Cluster_MAGLEV:
		c.Config.Policy = cluster.Maglev
		c.Config.TableSize = m.GetMaglevLbConfig().GetTableSize().GetValue()
	default:
		return fieldcheck.Refuse("lb_policy", "%s is not supported", p)
	}
	return nil
}

// extensionPolicy takes the first policy of the list that is supported, as Envoy
// does.
func (c *Cluster) extensionPolicy(list *clusterv3.LoadBalancingPolicy) error {
	err := fieldcheck.Refuse("policies", "is empty")
	for i, p := range list.GetPolicies() {
		at := fmt.Sprintf("policies[%d].typed_extension_config.typed_config", i)
		m, refused := unpack(p.GetTypedExtensionConfig().GetTypedConfig())
		if refused != nil {
			err = fieldcheck.At(at, refused)
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
		c.Config.Choices = m.GetChoiceCount().GetValue()
		c.slowStart(m.GetSlowStartConfig())
		c.localities(m.GetLocalityLbConfig())
	case *randomv3.Random:
		c.Config.Policy = cluster.Random
		c.localities(m.GetLocalityLbConfig())
	case *ringv3.RingHash:
		c.Config.Policy = cluster.RingHash
		c.Config.RingMin, c.Config.RingMax = m.GetMinimumRingSize().GetValue(), m.GetMaximumRingSize().GetValue()
		c.Config.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	case *maglevv3.Maglev:
		c.Config.Policy = cluster.Maglev
		c.Config.TableSize = m.GetTableSize().GetValue()
		c.Config.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
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
	s := &cluster.SlowStart{Window: m.GetSlowStartWindow().AsDuration(), Aggression: m.GetAggression().GetDefaultValue(), Least: 0.1}
	if p := m.GetMinWeightPercent(); p != nil {
		s.Least = p.GetValue() / 100
	}
	c.Config.SlowStart = s
}
