package apiserver_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
	"github.com/lateenmesh/lateen/internal/istiocrd"
)

// newServer is an API in memory with Istio's definitions, closed with the test.
func newServer(t testing.TB, change func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	cfg := apiserver.Config{CRDs: istiocrd.All()}
	if change != nil {
		change(&cfg)
	}
	s, err := apiserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A typed client reaches the server in process: it creates, lists, watches and deletes.
func TestTypedClientInProcess(t *testing.T) {
	s := newServer(t, nil)
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	maps := client.CoreV1().ConfigMaps("default")
	w, err := maps.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() {
		t.Errorf("got %+v, want an identity", made.ObjectMeta)
	}
	made.Data["k"] = "w"
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		if ev := <-w.ResultChan(); ev.Type != want {
			t.Errorf("got event %s, want %s", ev.Type, want)
		}
	}
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("got %d items, %v; want none", len(list.Items), err)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		s, err := apiserver.New(apiserver.Config{CRDs: istiocrd.All()})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
