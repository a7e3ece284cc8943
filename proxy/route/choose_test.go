package route

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// What the endpoint has told of itself stays when the route is chosen anew, and the
// virtual host is told of though it has no route.
func TestWhatIsToldOfARoute(t *testing.T) {
	tab := table(t, &VirtualHost{Domains: []string{"a"}, Routes: []*Route{{Match: Match{Value: "/r"}}}})
	req := asked("a", "/r")
	var endpoint, cluster stream.Metadata
	req.Info = &stream.Info{Described: stream.Described{Endpoint: &endpoint, Cluster: &cluster}}
	told := &req.Info.Described
	r, err := Choose(tab, req)
	if err != nil || *told != (stream.Described{Route: &r.Metadata, VirtualHost: &r.Host.Metadata, Endpoint: &endpoint}) {
		t.Errorf("a route: got %+v, %v", told, err)
	}
	req.Path = "/none"
	if _, err := Choose(tab, req); err != nil || *told != (stream.Described{VirtualHost: &r.Host.Metadata, Endpoint: &endpoint}) {
		t.Errorf("no route: got %+v, %v", told, err)
	}
	req.Authority = "b"
	if _, err := Choose(tab, req); err != nil || *told != (stream.Described{Endpoint: &endpoint}) {
		t.Errorf("no virtual host: got %+v, %v", told, err)
	}
}
