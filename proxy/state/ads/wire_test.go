package ads

import (
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

// "In the case where the virtual host could not be resolved, the management server
// sends a Resource with only name and aliases": it is none. With a time to live it
// lives on, and so does any other type of resource.
func TestUnresolvedHosts(t *testing.T) {
	for _, tc := range []struct {
		url     string
		ttl     time.Duration
		removed []string
		alive   int
	}{
		{HostType, 0, []string{"web/a", "web/b"}, 0},
		{HostType, time.Minute, nil, 1},
		{ClusterType, 0, nil, 1},
	} {
		m := &discovery.Resource{Name: "web/a", Aliases: []string{"web/b"}}
		if tc.ttl > 0 {
			m.Ttl = durationpb.New(tc.ttl)
		}
		r := response{typeURL: tc.url}
		r.take(m)
		if diff := cmp.Diff(r.update.Removed, tc.removed); diff != "" || len(r.alive) != tc.alive || len(r.update.Set) > 0 {
			t.Errorf("%s: %d are alive, %s", tc.url, len(r.alive), diff)
		}
	}
}
