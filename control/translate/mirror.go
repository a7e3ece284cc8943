package translate

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// mirrors says to whom copies of the requests go. The copies keep their host
// and are not traced.
func (b routeBuild) mirrors() []*route.RouteAction_RequestMirrorPolicy {
	var out []*route.RouteAction_RequestMirrorPolicy
	add := func(d *networking.Destination, share *typev3.FractionalPercent) {
		if d == nil || share.Numerator == 0 {
			return
		}
		out = append(out, &route.RouteAction_RequestMirrorPolicy{
			Cluster:                       b.in.cluster(d),
			RuntimeFraction:               &core.RuntimeFractionalPercent{DefaultValue: share},
			TraceSampled:                  yes(false),
			DisableShadowHostSuffixAppend: true,
		})
	}
	add(b.rule.Mirror, b.mirrorShare())
	for _, m := range b.rule.Mirrors {
		share := percent(100)
		if m.Percentage != nil {
			share = percent(m.Percentage.Value)
		}
		add(m.Destination, share)
	}
	return out
}

// mirrorShare is the share of the single mirror: all when nothing is said.
func (b routeBuild) mirrorShare() *typev3.FractionalPercent {
	switch {
	case b.rule.MirrorPercentage != nil:
		return percent(b.rule.MirrorPercentage.Value)
	case b.rule.MirrorPercent != nil: //nolint:staticcheck // users still write the old field
		return percent(float64(b.rule.MirrorPercent.Value)) //nolint:staticcheck // as above
	}
	return percent(100)
}

// percent is a percentage in millionths.
func percent(p float64) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(p*10_000 + 0.5), Denominator: typev3.FractionalPercent_MILLION}
}
