package route

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Clusters are drawn by weight, the same one whenever a request asks; weights may be set
// while the routes stay.
func TestDraw(t *testing.T) {
	keys := runtime.New([]runtime.Layer{{Name: "admin", Admin: true}})
	f := &Forward{Clusters: []Weighted{{Cluster: cluster.NewHandle("a"), Weight: 30, Key: keys.Key("w.a")}, {Cluster: cluster.NewHandle("b"), Weight: 70, Key: keys.Key("w.b")}}}
	share := func() int {
		n := 0
		for range 10_000 {
			req := &stream.Request{Info: &stream.Info{}}
			drawn := f.Draw(req)
			if drawn != f.Draw(req) {
				t.Fatal("a request goes to two clusters")
			}
			if drawn == &f.Clusters[0] {
				n++
			}
		}
		return n
	}
	if n := share(); n < 2700 || n > 3300 {
		t.Errorf("%d of 10,000 go to the first; want 3,000", n)
	}
	keys.Modify(map[string]string{"w.a": "1", "w.b": "0"})
	if n := share(); n != 10_000 {
		t.Errorf("%d of 10,000 go to the first; want all", n)
	}
	keys.Modify(map[string]string{"w.a": "0"})
	if f.Draw(&stream.Request{Info: &stream.Info{}}) != nil {
		t.Error("drew one that has no weight")
	}
}
