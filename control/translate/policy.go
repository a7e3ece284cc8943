package translate

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/mesh"
)

func subsets(rule *mesh.DestinationRule) []*networking.Subset {
	if rule == nil {
		return nil
	}
	return rule.Spec.GetSubsets()
}

// subsetNamed finds a subset of a rule; nil when there is none.
func subsetNamed(rule *mesh.DestinationRule, name string) *networking.Subset {
	for _, s := range subsets(rule) {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

// effectivePolicy is the traffic policy of one port and subset. Block by
// block, the subset's replaces the host's; within each, a port's settings
// replace all four blocks that they can hold. The mesh's default fills what
// stays unset.
func effectivePolicy(m *mesh.Config, rule *mesh.DestinationRule, subset string, port uint32) *networking.TrafficPolicy {
	p := &networking.TrafficPolicy{}
	if rule != nil {
		p = forPort(rule.Spec.GetTrafficPolicy(), port)
		if s := subsetNamed(rule, subset); s != nil {
			p = overridden(p, forPort(s.GetTrafficPolicy(), port))
		}
	}
	if d := m.GetDefaultTrafficPolicy(); d != nil {
		p = overridden(&networking.TrafficPolicy{ConnectionPool: d.GetConnectionPool(), OutlierDetection: d.GetOutlierDetection()}, p)
	}
	return p
}

// forPort is a policy as one port sees it.
func forPort(p *networking.TrafficPolicy, port uint32) *networking.TrafficPolicy {
	out := &networking.TrafficPolicy{
		LoadBalancer: p.GetLoadBalancer(), ConnectionPool: p.GetConnectionPool(), OutlierDetection: p.GetOutlierDetection(),
		Tls: p.GetTls(), Tunnel: p.GetTunnel(), ProxyProtocol: p.GetProxyProtocol(), RetryBudget: p.GetRetryBudget(),
	}
	for _, l := range p.GetPortLevelSettings() {
		if l.GetPort().GetNumber() == port {
			out.LoadBalancer, out.ConnectionPool, out.OutlierDetection, out.Tls = l.LoadBalancer, l.ConnectionPool, l.OutlierDetection, l.Tls
			break
		}
	}
	return out
}

// overridden is base with every block that over sets.
func overridden(base, over *networking.TrafficPolicy) *networking.TrafficPolicy {
	out := &networking.TrafficPolicy{
		LoadBalancer: first(over.LoadBalancer, base.LoadBalancer), ConnectionPool: first(over.ConnectionPool, base.ConnectionPool),
		OutlierDetection: first(over.OutlierDetection, base.OutlierDetection), Tls: first(over.Tls, base.Tls),
		Tunnel: first(over.Tunnel, base.Tunnel), ProxyProtocol: first(over.ProxyProtocol, base.ProxyProtocol),
		RetryBudget: first(over.RetryBudget, base.RetryBudget),
	}
	return out
}

// first is a, or b when a is nil.
func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
