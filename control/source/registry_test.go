package source

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// addresses lists who stands behind a service's port 80.
func addressesOf(r Registry, key string) []string {
	all, _ := r.Endpoints.Get(key)
	var out []string
	for _, e := range all[80] {
		out = append(out, e.Address)
	}
	return out
}

// Each host of an entry that is resolved by DNS is its own endpoint.
func TestHostsOfAnEntry(t *testing.T) {
	g := collection.New()
	tables := NewTables(g)
	r := NewRegistry(g, tables)
	g.Commit(func(tx *collection.Tx) {
		tables.ServiceEntries.Set(tx, "shop/x", &mesh.ServiceEntry{Meta: mesh.Meta{Namespace: "shop", Name: "x"}, Spec: &networking.ServiceEntry{
			Hosts: []string{"a.example.com", "b.example.com"}, Resolution: networking.ServiceEntry_DNS,
			Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}},
		}})
	})
	if diff := cmp.Diff(addressesOf(r, "shop/a.example.com"), []string{"a.example.com"}); diff != "" {
		t.Error(diff)
	}
}

// A service's endpoints follow its slices and the pods behind them; a
// WorkloadEntry that it selects joins them.
func TestEndpointsFollow(t *testing.T) {
	g := collection.New()
	tables := NewTables(g)
	r := NewRegistry(g, tables)
	g.Commit(func(tx *collection.Tx) {
		tables.Services.Set(tx, "shop/a", &model.Service{Host: "a.shop.svc.cluster.local", Name: "a", Namespace: "shop", Kubernetes: true,
			Selector: map[string]string{"app": "a"}, Ports: []model.Port{{Name: "http", Number: 80, Target: 8080}}})
		tables.Slices.Set(tx, "shop/a-1", &Slice{Namespace: "shop", Name: "a-1", Service: "a", Ports: map[string]uint32{"http": 8080},
			Endpoints: []SliceEndpoint{{Address: "10.0.0.2", Pod: "a-x"}, {Address: "10.0.0.3", Health: model.Unhealthy}}})
	})
	key := "shop/a.shop.svc.cluster.local"
	if diff := cmp.Diff(addressesOf(r, key), []string{"10.0.0.2"}); diff != "" {
		t.Error(diff)
	}
	g.Commit(func(tx *collection.Tx) {
		tables.Pods.Set(tx, "shop/a-x", &model.Workload{Name: "a-x", Namespace: "shop", ServiceAccount: "acc", MTLS: true, Node: "n", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}})
		tables.Nodes.Set(tx, "n", model.Locality{Region: "r"})
		tables.WorkloadEntries.Set(tx, "shop/vm", &WorkloadEntry{Meta: mesh.Meta{Namespace: "shop", Name: "vm"},
			Spec: &networking.WorkloadEntry{Address: "10.9.0.1", Labels: map[string]string{"app": "a"}}})
	})
	if diff := cmp.Diff(addressesOf(r, key), []string{"10.0.0.2", "10.9.0.1"}); diff != "" {
		t.Error(diff)
	}
	all, _ := r.Endpoints.Get(key)
	first := all[80][0]
	if first.Identity.String() != "spiffe://cluster.local/ns/shop/sa/acc" || !first.MTLS || first.Locality.Region != "r" || first.Port != 8080 {
		t.Errorf("got %+v", first)
	}
}

// A Kubernetes Service goes before a ServiceEntry of the same name.
func TestKubernetesFirst(t *testing.T) {
	g := collection.New()
	tables := NewTables(g)
	r := NewRegistry(g, tables)
	host := model.Host("a.shop.svc.cluster.local")
	g.Commit(func(tx *collection.Tx) {
		tables.ServiceEntries.Set(tx, "shop/x", &mesh.ServiceEntry{Meta: mesh.Meta{Namespace: "shop", Name: "x"}, Spec: &networking.ServiceEntry{Hosts: []string{string(host)}}})
	})
	g.Commit(func(tx *collection.Tx) {
		tables.Services.Set(tx, "shop/a", &model.Service{Host: host, Name: "a", Namespace: "shop", Kubernetes: true})
	})
	if s, _ := r.Services.Get(ServiceKey("shop", host)); !s.Kubernetes {
		t.Error("the ServiceEntry won")
	}
	g.Commit(func(tx *collection.Tx) { tables.Services.Delete(tx, "shop/a") })
	if s, ok := r.Services.Get(ServiceKey("shop", host)); !ok || s.Kubernetes {
		t.Error("the ServiceEntry did not come back")
	}
}
