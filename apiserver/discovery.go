package apiserver

import (
	"net/http"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

// aggregatedType is the media type of the whole catalog in one answer.
const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// serveDiscovery tells clients what there is: all at once to those that ask so,
// else group by group.
func (s *Server) serveDiscovery(w http.ResponseWriter, h *http.Request, path string) error {
	c := s.catalog.Load()
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "":
		writeJSON(w, http.StatusOK, metav1.RootPaths{Paths: []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"}})
	case len(parts) == 1 && wantsAggregated(h):
		writeAs(w, aggregatedType, http.StatusOK, aggregated(c, parts[0] == "api"))
	case path == "/api":
		writeJSON(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}, Versions: []string{"v1"}})
	case path == "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for _, g := range c.groups() {
			if g.name != "" {
				list.Groups = append(list.Groups, apiGroup(g))
			}
		}
		writeJSON(w, http.StatusOK, list)
	case parts[0] == "apis" && len(parts) == 2:
		groups := c.groups()
		i := slices.IndexFunc(groups, func(g group) bool { return g.name == parts[1] })
		if i < 0 || parts[1] == "" {
			return unknownPath()
		}
		g := apiGroup(groups[i])
		g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		writeJSON(w, http.StatusOK, g)
	default:
		gv := metav1.GroupVersion{Version: parts[len(parts)-1]}
		if parts[0] == "apis" {
			gv.Group = parts[1]
		}
		kinds := c.in(gv.Group, gv.Version)
		if len(kinds) == 0 {
			return unknownPath()
		}
		writeJSON(w, http.StatusOK, resourceList(gv, kinds))
	}
	return nil
}

func wantsAggregated(h *http.Request) bool {
	for _, part := range strings.Split(h.Header.Get("Accept"), ",") {
		if strings.Contains(part, "as=APIGroupDiscoveryList") && strings.Contains(part, "v=v2") && !strings.Contains(part, "v=v2beta1") {
			return true
		}
	}
	return false
}

func apiGroup(g group) metav1.APIGroup {
	out := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		out.Versions = append(out.Versions, metav1.GroupVersionForDiscovery{GroupVersion: g.name + "/" + v, Version: v})
	}
	out.PreferredVersion = out.Versions[0]
	return out
}

func resourceList(gv metav1.GroupVersion, kinds []*kind.Kind) metav1.APIResourceList {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
	for _, k := range kinds {
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: k.Plural, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind,
			Verbs: k.Verbs(), ShortNames: k.ShortNames, Categories: k.Categories,
		})
		for _, sub := range subresources(k, gv.Version) {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: k.Plural + "/" + sub.Name, Namespaced: k.Namespaced, Verbs: sub.Verbs,
				Group: sub.Kind.Group, Version: sub.Kind.Version, Kind: sub.Kind.Kind,
			})
		}
	}
	return list
}

// subresources lists all endpoints below the objects of a kind.
func subresources(k *kind.Kind, version string) []kind.Subresource {
	subs := slices.Clone(k.Connect)
	verbs := []string{"get", "patch", "update"}
	if k.Status {
		subs = append(subs, kind.Subresource{Name: "status", Kind: k.GVK(version), Verbs: verbs})
	}
	if k.Scale != nil {
		subs = append(subs, kind.Subresource{Name: "scale", Kind: scaleGVK, Verbs: verbs})
	}
	return subs
}

func aggregated(c *catalog, core bool) apidiscoveryv2.APIGroupDiscoveryList {
	list := apidiscoveryv2.APIGroupDiscoveryList{
		TypeMeta: metav1.TypeMeta{Kind: "APIGroupDiscoveryList", APIVersion: "apidiscovery.k8s.io/v2"},
		Items:    []apidiscoveryv2.APIGroupDiscovery{},
	}
	for _, g := range c.groups() {
		if (g.name == "") != core {
			continue
		}
		item := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		for _, v := range g.versions {
			version := apidiscoveryv2.APIVersionDiscovery{Version: v, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
			for _, k := range c.in(g.name, v) {
				version.Resources = append(version.Resources, resourceDiscovery(k, v))
			}
			item.Versions = append(item.Versions, version)
		}
		list.Items = append(list.Items, item)
	}
	return list
}

func resourceDiscovery(k *kind.Kind, version string) apidiscoveryv2.APIResourceDiscovery {
	gvk := k.GVK(version)
	r := apidiscoveryv2.APIResourceDiscovery{
		Resource: k.Plural, SingularResource: k.Singular, Scope: apidiscoveryv2.ScopeCluster,
		ResponseKind: &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind},
		Verbs:        k.Verbs(), ShortNames: k.ShortNames, Categories: k.Categories,
	}
	if k.Namespaced {
		r.Scope = apidiscoveryv2.ScopeNamespace
	}
	for _, sub := range subresources(k, version) {
		r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: sub.Name, Verbs: sub.Verbs,
			ResponseKind: &metav1.GroupVersionKind{Group: sub.Kind.Group, Version: sub.Kind.Version, Kind: sub.Kind.Kind}})
	}
	return r
}
