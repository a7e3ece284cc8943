package local

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
)

func TestNothingIsReadyAfterARestart(t *testing.T) {
	api, err := apiserver.New(apiserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	kube, err := kubernetes.NewForConfig(api.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}}}
	for name, phase := range map[string]corev1.PodPhase{"ran": corev1.PodRunning, "ended": corev1.PodSucceeded} {
		pod, err := kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: template.Spec}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pod.Status = corev1.PodStatus{Phase: phase, PodIP: "127.64.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		if _, err := kube.CoreV1().Pods("default").UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := kube.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "shop"},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	if _, err := kube.AppsV1().Deployments("default").UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	if err := unready(ctx, kube); err != nil {
		t.Fatal(err)
	}
	ran, err := kube.CoreV1().Pods("default").Get(ctx, "ran", metav1.GetOptions{})
	if err != nil || ran.Status.Phase != corev1.PodPending || ran.Status.PodIP != "" || len(ran.Status.Conditions) != 0 {
		t.Errorf("got %+v, %v; want a pod that does not run", ran.Status, err)
	}
	ended, err := kube.CoreV1().Pods("default").Get(ctx, "ended", metav1.GetOptions{})
	if err != nil || ended.Status.Phase != corev1.PodSucceeded {
		t.Errorf("got %+v, %v; want what has ended left alone", ended.Status, err)
	}
	if d, err = kube.AppsV1().Deployments("default").Get(ctx, "shop", metav1.GetOptions{}); err != nil || d.Status.AvailableReplicas != 0 || d.Status.UnavailableReplicas != 1 {
		t.Errorf("got %+v, %v; want nothing available", d.Status, err)
	}
}
