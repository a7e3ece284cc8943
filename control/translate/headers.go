package translate

import (
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// edits are changes to headers, in the proxy's form.
type edits struct {
	add, addResponse       []*core.HeaderValueOption
	remove, removeResponse []string
	// host is the new authority: setting "host" is a rewrite, not a header.
	host string
}

func headerEdit(h *networking.Headers) edits {
	var e edits
	e.add, e.host = additions(h.GetRequest())
	e.addResponse, _ = additions(h.GetResponse())
	e.remove, e.removeResponse = removals(h.GetRequest()), removals(h.GetResponse())
	return e
}

// additions lists added values, then overwriting ones, each by name.
func additions(o *networking.Headers_HeaderOperations) (out []*core.HeaderValueOption, host string) {
	one := func(values map[string]string, action core.HeaderValueOption_HeaderAppendAction) {
		for _, name := range slices.Sorted(mapKeys(values)) {
			if authority(name) {
				host = values[name]
			}
			if !internal(name) {
				out = append(out, &core.HeaderValueOption{Header: &core.HeaderValue{Key: name, Value: values[name]}, AppendAction: action})
			}
		}
	}
	one(o.GetAdd(), core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	one(o.GetSet(), core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	return out, host
}

func removals(o *networking.Headers_HeaderOperations) []string {
	return sorted(slices.DeleteFunc(slices.Clone(o.GetRemove()), internal))
}

func authority(name string) bool { return strings.EqualFold(name, "host") || name == ":authority" }

// internal reports whether a header is part of the request line and cannot be
// edited.
func internal(name string) bool {
	return strings.HasPrefix(name, ":") || strings.EqualFold(name, "host")
}

func (e edits) onRoute(r *route.Route) {
	r.RequestHeadersToAdd = append(r.RequestHeadersToAdd, e.add...)
	r.RequestHeadersToRemove = append(r.RequestHeadersToRemove, e.remove...)
	r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, e.addResponse...)
	r.ResponseHeadersToRemove = append(r.ResponseHeadersToRemove, e.removeResponse...)
}

func (e edits) onWeight(w *route.WeightedCluster_ClusterWeight) {
	w.RequestHeadersToAdd, w.RequestHeadersToRemove = e.add, e.remove
	w.ResponseHeadersToAdd, w.ResponseHeadersToRemove = e.addResponse, e.removeResponse
	if e.host != "" {
		w.HostRewriteSpecifier = &route.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: e.host}
	}
}
