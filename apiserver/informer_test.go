package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateenmesh/lateen/apiserver"
)

var virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

// Shared informers see all objects and every later change, in JSON and protobuf.
func TestSharedInformer(t *testing.T) {
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		t.Run(media, func(t *testing.T) {
			s := newServer(t, nil)
			config := s.RESTConfig()
			config.ContentType = media
			config.AcceptContentTypes = media
			c, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			testInformer(t, c)
		})
	}
}

func testInformer(t *testing.T, c kubernetes.Interface) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	maps := c.CoreV1().ConfigMaps("default")
	put := func(name, value string) {
		t.Helper()
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": value}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put("before", "1")
	factory := informers.NewSharedInformerFactory(c, 0)
	informer := factory.Core().V1().ConfigMaps().Informer()
	seen := make(chan string, 16)
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { seen <- "add " + o.(*corev1.ConfigMap).Name },
		UpdateFunc: func(_, o any) {
			seen <- "update " + o.(*corev1.ConfigMap).Name + "=" + o.(*corev1.ConfigMap).Data["v"]
		},
		DeleteFunc: func(o any) { seen <- "delete " + o.(*corev1.ConfigMap).Name },
	})
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	put("after", "1")
	got, err := maps.Get(ctx, "after", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Data["v"] = "2"
	if _, err := maps.Update(ctx, got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "before", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"add before", "add after", "update after=2", "delete before"} {
		if got := <-seen; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cancel()
	factory.Shutdown()
}

// A watch with a selector turns changes into additions and removals.
func TestWatchWithSelector(t *testing.T) {
	s := newServer(t, nil)
	maps := clientset(t, s).CoreV1().ConfigMaps("default")
	ctx := context.Background()
	w, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: "colour=red"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	m, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []string{"red", "blue", "red"} {
		m.Labels = map[string]string{"colour": colour}
		if m, err = maps.Update(ctx, m, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []watch.EventType{watch.Added, watch.Deleted, watch.Added} {
		if ev := <-w.ResultChan(); ev.Type != want {
			t.Errorf("got %s, want %s", ev.Type, want)
		}
	}
}

// A watch from a revision that is no longer kept fails with 410 Gone.
func TestWatchExpired(t *testing.T) {
	s := newServer(t, func(c *apiserver.Config) { c.WatchWindow = 2 })
	maps := clientset(t, s).CoreV1().ConfigMaps("default")
	ctx := context.Background()
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion}); !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v, want 410 Gone", err)
	}
}

// A list in pages is complete, and can be watched from.
func TestPages(t *testing.T) {
	s := newServer(t, nil)
	maps := clientset(t, s).CoreV1().ConfigMaps("default")
	ctx := context.Background()
	for i := range 7 {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	opts := metav1.ListOptions{Limit: 3}
	for {
		list, err := maps.List(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.Items {
			got = append(got, m.Name)
		}
		if opts.Continue = list.Continue; opts.Continue == "" {
			break
		}
	}
	if diff := cmp.Diff(got, []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6"}); diff != "" {
		t.Errorf("(-got +want)\n%s", diff)
	}
}

// Metadata clients get the metadata of any kind.
func TestMetadataClient(t *testing.T) {
	s := newServer(t, nil)
	config := metadata.ConfigFor(s.RESTConfig())
	c, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List(context.Background(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 4 || list.Items[0].Name != "default" {
		t.Errorf("got %+v, %v; want the four namespaces", list, err)
	}
}

// A controller-runtime client finds its way by discovery, and patches and deletes.
func TestControllerRuntimeClient(t *testing.T) {
	s := newServer(t, nil)
	c, err := client.New(s.RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-", Namespace: "default"}, Data: map[string]string{"a": "1"}}
	if err := c.Create(ctx, m); err != nil {
		t.Fatal(err)
	}
	was := m.DeepCopy()
	m.Data["b"] = "2"
	if err := c.Patch(ctx, m, client.MergeFrom(was)); err != nil {
		t.Fatal(err)
	}
	stale := was.DeepCopy()
	stale.Data["c"] = "3"
	if err := c.Update(ctx, stale); !apierrors.IsConflict(err) {
		t.Errorf("stale update: got %v, want a conflict", err)
	}
	vs := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
		"metadata": map[string]any{"name": "web", "namespace": "default"},
		"spec":     map[string]any{"hosts": []any{"web"}},
	}}
	if err := c.Create(ctx, vs); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(vs.Object, int64(7), "status", "observedGeneration"); err != nil {
		t.Fatal(err)
	}
	if err := c.Status().Update(ctx, vs); err != nil {
		t.Fatal(err)
	}
	got := vs.DeepCopy()
	if err := c.Get(ctx, client.ObjectKeyFromObject(vs), got); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedFieldNoCopy(got.Object, "status", "observedGeneration"); fmt.Sprint(n) != "7" || got.GetGeneration() != 1 {
		t.Errorf("got status %v, generation %d; want 7 and 1", n, got.GetGeneration())
	}
	if err := c.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// After a restart on the same directory everything is as it was: objects, their
// history, tokens, and the certificate authority.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	config := func(c *apiserver.Config) { c.Dir = dir }
	s := newServer(t, config)
	dyn, err := dynamic.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	vs := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": "web"}, "spec": map[string]any{"hosts": []any{"a"}},
	}}
	made, err := dyn.Resource(virtualServices).Namespace("default").Create(ctx, vs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedStringSlice(made.Object, []string{"b"}, "spec", "hosts"); err != nil {
		t.Fatal(err)
	}
	if made, err = dyn.Resource(virtualServices).Namespace("default").Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, ca := s.Token(), string(s.CA())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	again := newServer(t, config)
	if again.Token() != token || string(again.CA()) != ca {
		t.Error("the token or the certificate authority changed")
	}
	if dyn, err = dynamic.NewForConfig(again.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	got, err := dyn.Resource(virtualServices).Namespace("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Object, made.Object); diff != "" {
		t.Errorf("(-got +want)\n%s", diff)
	}
	history := again.History(virtualServices, "default", "web")
	if len(history) != 2 {
		t.Fatalf("got %d revisions, want 2", len(history))
	}
	hosts, _, _ := unstructured.NestedStringSlice(history[0].Object.Content(), "spec", "hosts")
	if diff := cmp.Diff(hosts, []string{"a"}); diff != "" {
		t.Errorf("first revision (-got +want)\n%s", diff)
	}
}

// Two servers cannot share a directory.
func TestDirIsExclusive(t *testing.T) {
	dir := t.TempDir()
	newServer(t, func(c *apiserver.Config) { c.Dir = dir })
	if _, err := apiserver.New(apiserver.Config{Dir: dir}); err == nil {
		t.Errorf("a second server opened %s", filepath.Join(dir, "api.db"))
	}
}

// Writers that race lose nothing: every increment counts, and a watcher sees
// revisions in order.
func TestConcurrentWrites(t *testing.T) {
	s := newServer(t, func(c *apiserver.Config) { c.Dir = t.TempDir() })
	c := clientset(t, s)
	maps := c.CoreV1().ConfigMaps("default")
	ctx := context.Background()
	const objects, writers, increments = 3, 8, 25
	for i := range objects {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m", i)}, Data: map[string]string{"n": "0"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := maps.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range increments {
				if err := increment(ctx, c, fmt.Sprint("m", rand.IntN(objects))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	total := 0
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Items {
		n := 0
		fmt.Sscan(m.Data["n"], &n)
		total += n
	}
	if total != writers*increments {
		t.Errorf("got %d, want %d", total, writers*increments)
	}
	last := 0
	for range objects + writers*increments {
		ev := <-w.ResultChan()
		rv := 0
		fmt.Sscan(ev.Object.(*corev1.ConfigMap).ResourceVersion, &rv)
		if ev.Type == watch.Modified && rv <= last {
			t.Fatalf("got revision %d after %d", rv, last)
		}
		last = max(last, rv)
	}
	w.Stop()
}

// increment adds one with optimistic concurrency, as a controller would.
func increment(ctx context.Context, c kubernetes.Interface, name string) error {
	maps := c.CoreV1().ConfigMaps("default")
	for {
		m, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		n := 0
		fmt.Sscan(m.Data["n"], &n)
		m.Data["n"] = fmt.Sprint(n + 1)
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

// Discovery without aggregation answers group by group, as old clients ask.
func TestPlainDiscovery(t *testing.T) {
	s := newServer(t, nil)
	c := clientset(t, s).Discovery()
	groups, lists, err := c.ServerGroupsAndResources()
	if err != nil || len(groups) < 10 || len(lists) < 10 {
		t.Errorf("aggregated: got %d groups, %d lists, %v", len(groups), len(lists), err)
	}
	raw, err := c.RESTClient().Get().AbsPath("/apis/apps/v1").DoRaw(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range list.APIResources {
		names[r.Name] = true
	}
	for _, want := range []string{"deployments", "deployments/scale", "deployments/status", "replicasets"} {
		if !names[want] {
			t.Errorf("%s is missing from %v", want, names)
		}
	}
}
