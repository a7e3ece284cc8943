package control

import (
	"fmt"
	"testing"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// large is a mesh of n services with two endpoints each, seen by 20 classes.
func large(n int) *plane {
	objects := map[string]object{}
	var proxies []mesh.Proxy
	for i := range n {
		ns, name := fmt.Sprintf("n%d", i%20), fmt.Sprintf("s%d", i)
		objects["Service:"+ns+"/"+name] = kubeService(ns, name, i, httpPort(int32(8000+i%20)))
		objects["Slice:"+ns+"/"+name] = slice(ns, name, 8080, map[string]string{name + "-1": "10.1.0.1", name + "-2": "10.1.0.2"})
	}
	for i := range 20 {
		proxies = append(proxies, sidecar(fmt.Sprintf("n%d", i), "x"))
	}
	return newPlane(objects, proxies...)
}

// BenchmarkEndpointChange is one pod that comes or goes among 1,000 services,
// until the snapshots of 20 classes are new.
func BenchmarkEndpointChange(b *testing.B) {
	p := large(1000)
	two := slice("n7", "s7", 8080, map[string]string{"s7-1": "10.1.0.1", "s7-2": "10.1.0.2"})
	one := slice("n7", "s7", 8080, map[string]string{"s7-1": "10.1.0.1"})
	i := 0
	for b.Loop() {
		i++
		p.do(func(tx *collection.Tx) {
			o := one
			if i%2 == 0 {
				o = two
			}
			o.set(p.tables, tx, "Slice:n7/s7")
		})
	}
}

// BenchmarkRuleChange is one VirtualService edited in the same mesh.
func BenchmarkRuleChange(b *testing.B) {
	p := large(1000)
	i := 0
	for b.Loop() {
		i++
		p.do(func(tx *collection.Tx) {
			bookinfo()["VirtualService:shop/reviews"].set(p.tables, tx, "VirtualService:n7/s7")
		})
		p.do(func(tx *collection.Tx) {
			bookinfo()["VirtualService:shop/reviews"].delete(p.tables, tx, "VirtualService:n7/s7")
		})
	}
}
