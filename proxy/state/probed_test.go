package state

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

func probedCluster(t *testing.T, fields string) *clusterv3.Cluster {
	t.Helper()
	m := &clusterv3.Cluster{}
	text := `{"name": "a", ` + fields + `"health_checks": [{"timeout": "2s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}],
		"load_assignment": {"cluster_name": "a", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]}]}}`
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A cluster is used when its endpoints have answered their first probes, or have not
// in time; until then the one before is. One that does not wait is used at once.
func TestClusterIsProbedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		l, err := n.Listen("10.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accept.Each(l, func(conn net.Conn) { conn.Close() })
		n.Lose("10.0.0.1:80")
		s := New(Config{Listeners: &recorder{}, Telemetry: telemetry.New(telemetry.Config{}), Clusters: cluster.Deps{Dial: n.Dial}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		synctest.Wait()

		noError(t, update(t, s, ads.ClusterType, probedCluster(t, "")))
		time.Sleep(time.Second)
		if s.handle("a").Load() != nil || s.Ready() {
			t.Error("used before its endpoint has answered")
		}
		time.Sleep(2 * time.Second)
		first := s.handle("a").Load()
		if first == nil || !first.Hosts()[0].Failing() {
			t.Fatal("not used after the probe has failed")
		}
		noError(t, update(t, s, ads.ClusterType, probedCluster(t, `"lb_policy": "RANDOM",`)))
		noError(t, update(t, s, ads.ClusterType, probedCluster(t, `"lb_policy": "MAGLEV",`)))
		time.Sleep(time.Second)
		if s.handle("a").Load() != first {
			t.Error("replaced before the new one's endpoint has answered")
		}
		time.Sleep(2 * time.Second)
		second := s.handle("a").Load()
		if second == first || second.Policy != cluster.Maglev {
			t.Error("not replaced, or by one that has been replaced itself")
		}
		noError(t, update(t, s, ads.ClusterType, probedCluster(t, `"wait_for_warm_on_init": false,`)))
		if s.handle("a").Load() == second {
			t.Error("waited although it is not to")
		}
		noError(t, update(t, s, ads.ClusterType, probedCluster(t, "")))
		noError(t, s.Update(ads.Update{Type: ads.ClusterType, Removed: []string{"a"}}))
		time.Sleep(time.Minute)
		if s.handle("a").Load() != nil {
			t.Error("used after it was removed")
		}
		cancel()
		<-done
	})
}
