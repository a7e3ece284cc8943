package translate

import (
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// outlierDetection writes when an endpoint is taken out. Success-rate
// detection is always off, and so is panic mode unless the user sets a share
// of healthy endpoints.
func (b *clusterBuild) outlierDetection(o *networking.OutlierDetection) {
	if o == nil {
		return
	}
	out := &cluster.OutlierDetection{
		EnforcingSuccessRate:           u32(0),
		Interval:                       o.Interval,
		BaseEjectionTime:               o.BaseEjectionTime,
		SplitExternalLocalOriginErrors: o.SplitExternalLocalOriginErrors,
	}
	if n := o.Consecutive_5XxErrors; n != nil {
		out.Consecutive_5Xx = n
		out.EnforcingConsecutive_5Xx = u32(enforcing(n.Value))
	}
	if n := o.ConsecutiveGatewayErrors; n != nil {
		out.ConsecutiveGatewayFailure = n
		out.EnforcingConsecutiveGatewayFailure = u32(enforcing(n.Value))
	}
	if n := o.ConsecutiveLocalOriginFailures; n != nil {
		out.ConsecutiveLocalOriginFailure = n
		out.EnforcingConsecutiveLocalOriginFailure = u32(enforcing(n.Value))
	}
	if o.SplitExternalLocalOriginErrors {
		out.EnforcingLocalOriginSuccessRate = u32(0)
	}
	if o.MaxEjectionPercent > 0 {
		out.MaxEjectionPercent = u32(uint32(o.MaxEjectionPercent))
	}
	b.cluster.OutlierDetection = out
	b.cluster.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(max(0, o.MinHealthPercent))}
}

// enforcing is how many percent of ejections are carried out: 0 errors means
// that the detection is off.
func enforcing(errors uint32) uint32 {
	if errors == 0 {
		return 0
	}
	return 100
}
