package control

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
)

// running starts a control plane on fake clients and ends it with the test.
func running(t *testing.T, kube *fake.Clientset, istio *istiofake.Clientset, cfg Config) *Control {
	t.Helper()
	// The fake clients do not know the streaming form of a list.
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	cfg.Kube, cfg.Istio = kube, istio
	c := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

func kubeObject(name string, annotations map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.0.0.9", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// await waits until the feed's snapshot has (or no longer has) a cluster.
func await(t *testing.T, f mesh.Feed, cluster string, want bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		if _, ok := f.Snapshot().Tables[mesh.ClusterType].Get(cluster); ok == want {
			return
		}
		select {
		case <-f.Changed():
		case <-deadline:
			t.Fatalf("cluster %s: still not %v", cluster, want)
		}
	}
}

// A proxy gets its first snapshot complete, hears of changes, and hears
// nothing of noise.
func TestFeedFollowsTheAPI(t *testing.T) {
	kube := fake.NewClientset(kubeObject("a", nil))
	var mu sync.Mutex
	var verdicts []Verdict
	said := make(chan struct{}, 100)
	commits := make(chan Commit, 100)
	c := running(t, kube, istiofake.NewSimpleClientset(), Config{
		OnProblems: func(v []Verdict) {
			mu.Lock()
			verdicts = append(verdicts, v...)
			mu.Unlock()
			said <- struct{}{}
		},
		OnCommit: func(x Commit) { commits <- x },
	})
	f, err := c.Attach(sidecar("shop", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	await(t, f, "outbound|80||a.shop.svc.cluster.local", true)
	if !c.Ready() || c.MeshConfig() == nil {
		t.Error("attached, but not ready or without settings")
	}
	ctx := t.Context()
	if _, err := kube.CoreV1().Services("shop").Create(ctx, kubeObject("b", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, f, "outbound|80||b.shop.svc.cluster.local", true)

	before := f.Snapshot()
	for len(commits) > 0 {
		<-commits
	}
	if _, err := kube.CoreV1().Services("shop").Update(ctx, kubeObject("b", map[string]string{"note": "noise"}), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	<-commits
	if f.Snapshot() != before {
		t.Error("an annotation made a new snapshot")
	}

	vs := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "lost", Generation: 3}}
	vs.Spec.Hosts = []string{"a"}
	vs.Spec.Http = []*networking.HTTPRoute{{Route: routeTo("nowhere")}}
	if _, err := c.cfg.Istio.NetworkingV1().VirtualServices("shop").Create(ctx, vs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	<-said
	mu.Lock()
	defer mu.Unlock()
	if n := len(verdicts); n != 1 || verdicts[0].Object.Generation != 3 {
		t.Fatalf("got verdicts %v, want one of generation 3", verdicts)
	}
	if got, want := verdicts[0].Problems[0].String(), "VirtualService shop/lost: spec.http[0].route[0].destination.host: there is no service nowhere.shop.svc.cluster.local; short names are completed with the rule's own namespace"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Edits that come while a commit runs go together in the next.
func TestGroupCommit(t *testing.T) {
	p := newPlane(bookinfo(), bookinfoProxies()...)
	var got []Commit
	p.cfg.OnCommit = func(c Commit) { got = append(got, c) }
	for _, k := range []string{"Service:shop/reviews", "Pod:shop/reviews-1"} {
		p.submit(func(tx *collection.Tx) { bookinfo()[k].delete(p.tables, tx, k) })
	}
	p.commit()
	p.commit()
	if len(got) != 1 || got[0].Edits != 2 {
		t.Errorf("got commits %v, want one of two edits", got)
	}
}

// A proxy that closes its last feed leaves nothing behind.
func TestClosedProxyIsForgotten(t *testing.T) {
	p := newPlane(nil)
	f := make(chan mesh.Feed)
	for range 2 {
		go func() {
			feed, err := p.Attach(sidecar("shop", "x"))
			if err != nil {
				t.Error(err)
			}
			f <- feed
		}()
	}
	var feeds []mesh.Feed
	for len(feeds) < 2 {
		select {
		case feed := <-f:
			feeds = append(feeds, feed)
		case <-p.wake:
			p.commit()
		}
	}
	p.commit()
	feeds[0].Close()
	p.commit()
	if n := p.stage.Proxies.Len(); n != 1 {
		t.Errorf("%d proxies while one stream is left, want 1", n)
	}
	feeds[1].Close()
	feeds[1].Close()
	p.commit()
	if n, s := p.stage.Proxies.Len(), p.stage.Snapshots.Len(); n != 0 || s != 0 {
		t.Errorf("%d proxies and %d snapshots are kept, want none", n, s)
	}
}
