package apiserver

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resourcePath is what the path of a resource request names.
type resourcePath struct {
	gvr         schema.GroupVersionResource
	namespace   string
	name        string
	subresource string
	// rest is what follows the subresource, as in pods/NAME/proxy/PATH.
	rest string
}

// parsePath splits /api/VERSION/... and /apis/GROUP/VERSION/... It reports false
// for paths that are no resource's.
func parsePath(path string) (resourcePath, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var p resourcePath
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		p.gvr.Version = parts[1]
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		p.gvr.Group, p.gvr.Version = parts[1], parts[2]
		parts = parts[3:]
	default:
		return p, false
	}
	if parts[0] == "watch" { // the old spelling of ?watch=1 is not served
		return p, false
	}
	// Below a namespace lies a resource, except for the namespace's own subresources.
	if parts[0] == "namespaces" && len(parts) >= 3 && !(p.gvr.Group == "" && (parts[2] == "status" || parts[2] == "finalize")) {
		p.namespace = parts[1]
		parts = parts[2:]
	}
	p.gvr.Resource = parts[0]
	if len(parts) > 1 {
		p.name = parts[1]
	}
	if len(parts) > 2 {
		p.subresource = parts[2]
	}
	if len(parts) > 3 {
		p.rest = strings.Join(parts[3:], "/")
	}
	return p, true
}
