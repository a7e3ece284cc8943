package translate

import (
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
)

var redirectCodes = map[uint32]route.RedirectAction_RedirectResponseCode{
	0: route.RedirectAction_MOVED_PERMANENTLY, 301: route.RedirectAction_MOVED_PERMANENTLY, 302: route.RedirectAction_FOUND,
	303: route.RedirectAction_SEE_OTHER, 307: route.RedirectAction_TEMPORARY_REDIRECT, 308: route.RedirectAction_PERMANENT_REDIRECT,
}

// redirect sends the client elsewhere. A port that is the scheme's own is not
// written.
func redirect(r *networking.HTTPRedirect, listener uint32) *route.Route_Redirect {
	out := &route.RedirectAction{HostRedirect: r.Authority, ResponseCode: redirectCodes[r.RedirectCode]}
	switch {
	case r.PrefixRewrite != "":
		out.PathRewriteSpecifier = &route.RedirectAction_PrefixRewrite{PrefixRewrite: r.PrefixRewrite}
	case r.Uri != "":
		out.PathRewriteSpecifier = &route.RedirectAction_PathRedirect{PathRedirect: r.Uri}
	}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &route.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch p := r.RedirectPort.(type) {
	case *networking.HTTPRedirect_Port:
		out.PortRedirect = elided(r.Scheme, p.Port)
	case *networking.HTTPRedirect_DerivePort:
		if p.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT {
			out.PortRedirect = elided(r.Scheme, listener)
		}
	}
	return &route.Route_Redirect{Redirect: out}
}

func elided(scheme string, port uint32) uint32 {
	if scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return 0
	}
	return port
}
