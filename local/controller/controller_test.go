package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
)

// world is an API with the controllers at work, and a kubelet that makes every
// pod ready at once and lets those go that are being deleted.
func world(t *testing.T) (kubernetes.Interface, context.Context) {
	t.Helper()
	api, err := apiserver.New(apiserver.Config{ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	config := api.RESTConfig()
	config.QPS = -1
	kube := kubernetes.NewForConfigOrDie(config)
	controllers := New(Config{Kube: kube, Dynamic: dynamic.NewForConfigOrDie(config), CA: []byte("ca")})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { defer func() { ended <- struct{}{} }(); _ = controllers.Run(ctx) }()
	go func() { defer func() { ended <- struct{}{} }(); kubelet(ctx, kube) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		api.Close()
	})
	return kube, ctx
}

func kubelet(ctx context.Context, kube kubernetes.Interface) {
	w, err := kube.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	defer w.Stop()
	n := 0
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		if p.DeletionTimestamp != nil {
			_ = kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, *metav1.NewDeleteOptions(0))
			continue
		}
		if p.Status.PodIP == "" {
			n++
			p.Status.PodIP, p.Status.Phase = fmt.Sprintf("10.0.0.%d", n), corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			_, _ = kube.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
		}
	}
}

func until(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func deployment(replicas int32, image string) *appsv1.Deployment {
	labels := map[string]string{"app": "shop"}
	one := intstr.FromInt32(1)
	none := intstr.FromInt32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &none}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: image, Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}}}},
			},
		},
	}
}

func available(ctx context.Context, kube kubernetes.Interface, image string, replicas int32) func() error {
	return func() error {
		d, err := kube.AppsV1().Deployments("default").Get(ctx, "shop", metav1.GetOptions{})
		if err != nil {
			return err
		}
		s := d.Status
		if s.ObservedGeneration != d.Generation || s.UpdatedReplicas != replicas || s.AvailableReplicas != replicas || s.Replicas != replicas {
			return fmt.Errorf("status %+v", s)
		}
		pods, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=shop"})
		if err != nil || len(pods.Items) != int(replicas) {
			return fmt.Errorf("%d pods, %v", len(pods.Items), err)
		}
		for _, p := range pods.Items {
			if p.Spec.Containers[0].Image != image {
				return fmt.Errorf("pod %s runs %s", p.Name, p.Spec.Containers[0].Image)
			}
		}
		return nil
	}
}

func TestDeploymentRollsOutAndScales(t *testing.T) {
	kube, ctx := world(t)
	deployments := kube.AppsV1().Deployments("default")
	if _, err := deployments.Create(ctx, deployment(3, "shop:1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the first version runs", available(ctx, kube, "shop:1", 3))

	d, err := deployments.Get(ctx, "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Spec.Containers[0].Image = "shop:2"
	if _, err := deployments.Update(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the second version runs", available(ctx, kube, "shop:2", 3))
	if d, _ = deployments.Get(ctx, "shop", metav1.GetOptions{}); d.Annotations[revisionAnnotation] != "2" {
		t.Errorf("revision is %q; want 2", d.Annotations[revisionAnnotation])
	}
	scale, err := deployments.GetScale(ctx, "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 1
	if _, err := deployments.UpdateScale(ctx, "shop", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is scaled down", available(ctx, kube, "shop:2", 1))
}

func TestServiceListsReadyPods(t *testing.T) {
	kube, ctx := world(t)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "default"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "shop"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}}}}
	if _, err := kube.CoreV1().Services("default").Create(ctx, svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := kube.AppsV1().Deployments("default").Create(ctx, deployment(2, "shop:1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "two endpoints at the named port", func() error {
		list, err := kube.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=shop"})
		if err != nil {
			return err
		}
		n := 0
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if len(s.Ports) == 1 && *s.Ports[0].Port == 8080 && *e.Conditions.Ready {
					n++
				}
			}
		}
		if n != 2 || len(list.Items) != 1 {
			return fmt.Errorf("%d endpoints in %d slices", n, len(list.Items))
		}
		return nil
	})
}

func TestWhatLosesItsOwnerGoes(t *testing.T) {
	kube, ctx := world(t)
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground} {
		if _, err := kube.AppsV1().Deployments("default").Create(ctx, deployment(2, "shop:1"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		until(t, "it runs", available(ctx, kube, "shop:1", 2))
		if err := kube.AppsV1().Deployments("default").Delete(ctx, "shop", metav1.DeleteOptions{PropagationPolicy: &policy}); err != nil {
			t.Fatal(err)
		}
		until(t, "everything is gone", func() error {
			pods, err := kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
			sets, err2 := kube.AppsV1().ReplicaSets("default").List(ctx, metav1.ListOptions{})
			_, err3 := kube.AppsV1().Deployments("default").Get(ctx, "shop", metav1.GetOptions{})
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if len(pods.Items)+len(sets.Items) > 0 || !apierrors.IsNotFound(err3) {
				return fmt.Errorf("%s: %d pods, %d sets, deployment: %v", policy, len(pods.Items), len(sets.Items), err3)
			}
			return nil
		})
	}
}

func TestNamespaceIsFurnishedAndEmptied(t *testing.T) {
	kube, ctx := world(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo"}}
	if _, err := kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it has its account and the root certificate", func() error {
		_, err := kube.CoreV1().ServiceAccounts("demo").Get(ctx, "default", metav1.GetOptions{})
		_, err2 := kube.CoreV1().ConfigMaps("demo").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return errors.Join(err, err2)
	})
	d := deployment(2, "shop:1")
	d.Namespace = "demo"
	if _, err := kube.AppsV1().Deployments("demo").Create(ctx, d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "pods run", func() error {
		pods, err := kube.CoreV1().Pods("demo").List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) != 2 {
			return fmt.Errorf("%d pods, %v", len(pods.Items), err)
		}
		return nil
	})
	if err := kube.CoreV1().Namespaces().Delete(ctx, "demo", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() error {
		if _, err := kube.CoreV1().Namespaces().Get(ctx, "demo", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %v", err)
		}
		return nil
	})
}
