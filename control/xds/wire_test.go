package xds

import (
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/control/mesh"
)

// The hand-written encoding is what protobuf would have written.
func TestEncode(t *testing.T) {
	var rs []*mesh.Resource
	var deltas []*discovery.Resource
	var anys []*anypb.Any
	for _, name := range []string{"small", strings.Repeat("large", 500)} {
		m := &cluster.Cluster{Name: name}
		r, err := mesh.NewResource(name, mesh.ClusterType, m)
		if err != nil {
			t.Fatal(err)
		}
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		rs, anys = append(rs, r), append(anys, a)
		deltas = append(deltas, &discovery.Resource{Name: name, Version: r.Version, Resource: a})
	}
	resp := Response{Type: mesh.ClusterType, Nonce: "7", Version: "v", Resources: rs}
	check := func(v Variant, got, want proto.Message) {
		b := message{v, resp}.encode()
		if err := proto.Unmarshal(b.Materialize(), got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want, protocmp.Transform()); diff != "" {
			t.Errorf("variant %d (-got +want):\n%s", v, diff)
		}
	}
	check(StateOfTheWorld, &discovery.DiscoveryResponse{}, &discovery.DiscoveryResponse{
		VersionInfo: "v", TypeUrl: mesh.ClusterType, Nonce: "7", Resources: anys,
	})
	resp.Removed = []string{"a", ""}
	check(Delta, &discovery.DeltaDiscoveryResponse{}, &discovery.DeltaDiscoveryResponse{
		SystemVersionInfo: "v", TypeUrl: mesh.ClusterType, Nonce: "7", Resources: deltas, RemovedResources: []string{"a", ""},
	})
}

// A large body goes to every stream from the same memory.
func TestBodiesAreShared(t *testing.T) {
	body := make([]byte, shareAbove)
	r := &mesh.Resource{Name: "r", Type: mesh.ClusterType, Body: body}
	for range 2 {
		out := message{Delta, Response{Resources: []*mesh.Resource{r}}}.encode()
		if got := out[1].ReadOnlyData(); &got[0] != &body[0] {
			t.Error("the body was copied")
		}
	}
}
