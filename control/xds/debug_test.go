package xds

import (
	"strings"
	"testing"

	admin "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/control/mesh"
)

// The dump is one that Envoy's own types can read.
func TestConfigDump(t *testing.T) {
	s := NewServer(Config{})
	s.streams[1] = &stream{proxy: mesh.Proxy{Name: "cart-1", Namespace: "shop"}, feed: &boardFeed{board: &board{snap: clusters(t, "a", "b")}}}
	text, err := s.ConfigDump("cart-1.shop")
	if err != nil {
		t.Fatal(err)
	}
	var dump admin.ConfigDump
	if err := protojson.Unmarshal(text, &dump); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var part admin.ClustersConfigDump
	if err := dump.Configs[0].UnmarshalTo(&part); err != nil || len(part.DynamicActiveClusters) != 2 {
		t.Errorf("clusters %v, %v; want two", &part, err)
	}
	if _, err := s.ConfigDump("x.y"); err == nil || !strings.Contains(err.Error(), "syncz") {
		t.Errorf("an unknown proxy: got %v, want a hint", err)
	}
}

// syncz shows what was sent, acknowledged and refused.
func TestSyncz(t *testing.T) {
	s := NewServer(Config{Publisher: &board{snap: clusters(t, "a")}})
	c := delta(t, startServer(t, s, grpc.ForceServerCodecV2(Codec())))
	c.send(&discovery.DeltaDiscoveryRequest{})
	_, nonce, _ := c.receive()
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: nonce})
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: mesh.RouteType, ResourceNamesSubscribe: []string{"r"}})
	c.receive() // so that the acknowledgement has been seen
	lines := s.Syncz()
	if len(lines) != 1 || lines[0].Proxy != "cart-1.shop" || lines[0].ClusterSent != nonce || lines[0].ClusterAcked != nonce || lines[0].RouteAcked != "" {
		t.Errorf("syncz %+v, want clusters acknowledged and routes sent", lines)
	}
	var text strings.Builder
	s.WriteMetrics(&text)
	for _, want := range []string{"pilot_xds 1\n", `pilot_xds_pushes{type="cds"} 1`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("metrics miss %q", want)
		}
	}
}
