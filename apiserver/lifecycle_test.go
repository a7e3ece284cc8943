package apiserver_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func seconds(n int64) metav1.DeleteOptions { return metav1.DeleteOptions{GracePeriodSeconds: &n} }

// A pod on a node first gets a time to end by; its kubelet removes it with no grace.
func TestPodDeletionIsGraceful(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	pods := clientset(t, s).CoreV1().Pods("default")
	createPod(t, s, "web")
	if err := pods.Delete(ctx, "web", seconds(20)); err != nil {
		t.Fatal(err)
	}
	pod, err := pods.Get(ctx, "web", metav1.GetOptions{})
	if err != nil || pod.DeletionTimestamp == nil || *pod.DeletionGracePeriodSeconds != 20 {
		t.Fatalf("got %+v, %v; want 20 seconds to go", pod.ObjectMeta, err)
	}
	// A longer grace does not win over a shorter one.
	if err := pods.Delete(ctx, "web", seconds(50)); err != nil {
		t.Fatal(err)
	}
	if pod, err = pods.Get(ctx, "web", metav1.GetOptions{}); err != nil || *pod.DeletionGracePeriodSeconds != 20 {
		t.Errorf("got %+v, %v; want 20 seconds still", pod.ObjectMeta, err)
	}
	if err := pods.Delete(ctx, "web", seconds(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(ctx, "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// A pod that is on no node has nobody to wait for.
func TestUnscheduledPodIsDeletedAtOnce(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	pods := clientset(t, s).CoreV1().Pods("default")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pods.Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(ctx, "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// The propagation policy is recorded as a finalizer, and the object goes when the last one does.
func TestFinalizers(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	maps := clientset(t, s).CoreV1().ConfigMaps("default")
	tests := []struct {
		policy metav1.DeletionPropagation
		want   []string
	}{
		{metav1.DeletePropagationForeground, []string{"mine/hold", "foregroundDeletion"}},
		{metav1.DeletePropagationOrphan, []string{"mine/hold", "orphan"}},
		{metav1.DeletePropagationBackground, []string{"mine/hold"}},
	}
	for _, test := range tests {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Finalizers: []string{"mine/hold"}}}
		if _, err := maps.Create(ctx, m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := maps.Delete(ctx, "m", metav1.DeleteOptions{PropagationPolicy: &test.policy}); err != nil {
			t.Fatal(err)
		}
		got, err := maps.Get(ctx, "m", metav1.GetOptions{})
		if err != nil || got.DeletionTimestamp == nil {
			t.Fatalf("%s: got %+v, %v; want it marked", test.policy, got, err)
		}
		if diff := cmp.Diff(got.Finalizers, test.want); diff != "" {
			t.Errorf("%s (-got +want)\n%s", test.policy, diff)
		}
		got.Finalizers = nil
		if _, err := maps.Update(ctx, got, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := maps.Get(ctx, "m", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s: got %v, want not found", test.policy, err)
		}
	}
}

// Preconditions protect an object that was replaced under the same name.
func TestDeletePreconditions(t *testing.T) {
	s := newServer(t, nil)
	pod := createPod(t, s, "web")
	pods := clientset(t, s).CoreV1().Pods("default")
	other := types.UID("other")
	err := pods.Delete(context.Background(), "web", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}})
	if !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
	err = pods.Delete(context.Background(), "web", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil {
		t.Error(err)
	}
}

// A namespace ends in two steps: nothing new while its contents go, then it goes itself.
func TestNamespaceTermination(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	c := clientset(t, s)
	if _, err := c.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Namespaces().Delete(ctx, "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ns, err := c.CoreV1().Namespaces().Get(ctx, "shop", metav1.GetOptions{})
	if err != nil || ns.Status.Phase != corev1.NamespaceTerminating {
		t.Fatalf("got %+v, %v; want it terminating", ns, err)
	}
	_, err = c.CoreV1().ConfigMaps("shop").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("got %v, want forbidden because the namespace is terminating", err)
	}
	ns.Spec.Finalizers = nil
	if _, err := c.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CoreV1().Namespaces().Get(ctx, "shop", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v, want not found", err)
	}
}

// The generation counts changes of the spec; status and labels leave it alone, and
// the status cannot be written with the rest.
func TestGenerationAndStatus(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	deployments := clientset(t, s).AppsV1().Deployments("default")
	d, err := deployments.Create(ctx, deployment("web"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Status.Replicas = 5
	d.Labels = map[string]string{"a": "b"}
	if d, err = deployments.Update(ctx, d, metav1.UpdateOptions{}); err != nil || d.Generation != 1 || d.Status.Replicas != 0 {
		t.Errorf("labels: got generation %d, %d replicas, %v; want 1 and 0", d.Generation, d.Status.Replicas, err)
	}
	two := int32(2)
	d.Spec.Replicas = &two
	d.Status.Replicas = 5
	if d, err = deployments.UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil || d.Generation != 1 || *d.Spec.Replicas != 1 || d.Status.Replicas != 5 {
		t.Errorf("status: got generation %d, spec %d, status %d, %v; want 1, 1, 5", d.Generation, *d.Spec.Replicas, d.Status.Replicas, err)
	}
	d.Spec.Replicas = &two
	if d, err = deployments.Update(ctx, d, metav1.UpdateOptions{}); err != nil || d.Generation != 2 || d.Status.Replicas != 5 {
		t.Errorf("spec: got generation %d, status %d, %v; want 2 and 5", d.Generation, d.Status.Replicas, err)
	}
	// Writing what is there already is no change.
	was := d.ResourceVersion
	if d, err = deployments.Update(ctx, d, metav1.UpdateOptions{}); err != nil || d.ResourceVersion != was {
		t.Errorf("no change: got revision %s, %v; want %s", d.ResourceVersion, err, was)
	}
	d.Spec.Selector.MatchLabels = map[string]string{"app": "other"}
	d.Spec.Template.Labels = map[string]string{"app": "other"}
	if _, err := deployments.Update(ctx, d, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("selector: got %v, want it refused", err)
	}
}
