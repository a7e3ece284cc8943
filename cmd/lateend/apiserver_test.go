package main

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
	"github.com/lateenmesh/lateen/control/ca"
	"github.com/lateenmesh/lateen/control/status"
	"github.com/lateenmesh/lateen/internal/istiocrd"
)

// eventually waits until a condition holds; what it asks is another goroutine's
// doing, over an API whose time is real.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("not seen in time: " + what)
		}
	}
}

// The parts that speak to Kubernetes do so with our own API server: the root
// is kept and published, a projected token proves an identity, and status
// reaches a user's object.
func TestOnOurAPIServer(t *testing.T) {
	server, err := apiserver.New(apiserver.Config{CRDs: istiocrd.All()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	client := kubernetes.NewForConfigOrDie(server.RESTConfig())
	objects := dynamic.NewForConfigOrDie(server.RESTConfig())
	create(t, client, "istio-system")

	keeper := ca.NewKeeper(client, "istio-system", "cluster.local", quiet)
	if err := keeper.Load(ctx); err != nil {
		t.Fatal(err)
	}
	running.Go(func() { _ = ca.NewPublisher(client, keeper, quiet).Run(ctx) })
	create(t, client, "shop")
	eventually(t, "the root in a new namespace", func() bool {
		cm, err := client.CoreV1().ConfigMaps("shop").Get(ctx, ca.RootConfigMap, metav1.GetOptions{})
		return err == nil && cm.Data["root-cert.pem"] == string(keeper.Authority().Roots())
	})

	if _, err := client.CoreV1().ServiceAccounts("shop").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "cart"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for audience, accepted := range map[string]bool{"istio-ca": true, "elsewhere": false} {
		token, err := client.CoreV1().ServiceAccounts("shop").CreateToken(ctx, "cart",
			&authv1.TokenRequest{Spec: authv1.TokenRequestSpec{Audiences: []string{audience}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		call := metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token.Status.Token))
		id, err := ca.NewCallers(client, "cluster.local").Identify(call)
		if accepted != (err == nil) || accepted && id.String() != "spiffe://cluster.local/ns/shop/sa/cart" {
			t.Errorf("token for %s: %v, %v", audience, id, err)
		}
	}

	vs := status.Object{Resource: schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}, Namespace: "shop", Name: "cart"}
	obj, err := objects.Resource(vs.Resource).Namespace("shop").Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": map[string]any{"name": "cart", "namespace": "shop"},
		"spec": map[string]any{"hosts": []any{"cart"}, "http": []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "nowhere"}}}}}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writer := status.NewWriter(objects, quiet)
	running.Go(func() { _ = writer.Run(ctx) })
	writer.Set(status.Report{Object: vs, Generation: obj.GetGeneration(), Problems: []status.Problem{{
		Level: status.Error, Code: "IST0101", Name: "ReferencedResourceNotFound", Message: "http[0]: host nowhere is not there",
	}}})
	eventually(t, "the problem on the object", func() bool {
		obj, err = objects.Resource(vs.Resource).Namespace("shop").Get(ctx, "cart", metav1.GetOptions{})
		messages, _, _ := unstructured.NestedSlice(obj.Object, "status", "validationMessages")
		return err == nil && len(messages) == 1
	})
	if obj.GetGeneration() != 1 {
		t.Errorf("writing status made generation %d", obj.GetGeneration())
	}
}

func create(t *testing.T, client kubernetes.Interface, namespace string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}
