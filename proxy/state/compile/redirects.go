package compile

import (
	"fmt"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	allowv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/allow_listed_routes/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
	safev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/safe_cross_scheme/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/route"
)

// redirects reads which redirects of upstreams are followed here.
func redirects(f *route.Forward, a *routev3.RouteAction) error {
	m := a.GetInternalRedirectPolicy()
	if m == nil {
		return nil
	}
	p := &route.Redirects{Max: 1, CrossScheme: m.GetAllowCrossSchemeRedirect(), Copy: m.GetResponseHeadersToCopy()}
	if n := m.GetMaxInternalRedirects(); n != nil {
		p.Max = n.GetValue()
	}
	for _, code := range m.GetRedirectResponseCodes() {
		if slices.Contains([]uint32{301, 302, 303, 307, 308}, code) { // others are passed over
			p.Statuses = append(p.Statuses, int(code))
		}
	}
	if len(m.GetRedirectResponseCodes()) == 0 {
		p.Statuses = []int{302}
	}
	for i, predicate := range m.GetPredicates() {
		at := fmt.Sprintf("internal_redirect_policy.predicates[%d].typed_config", i)
		opened, err := unpack(predicate.GetTypedConfig())
		if err != nil {
			return fieldcheck.At(at, err)
		}
		switch t := opened.(type) {
		case *previousv3.PreviousRoutesConfig:
			p.NotAgain = true
		case *allowv3.AllowListedRoutesConfig:
			p.Among = append(p.Among, t.GetAllowedRouteNames())
		case *safev3.SafeCrossSchemeConfig:
			p.SafeCross = true
		default:
			return fieldcheck.Refuse(at, "%s is not supported", opened.ProtoReflect().Descriptor().FullName())
		}
	}
	f.Redirects = p
	return nil
}
