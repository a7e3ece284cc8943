package local

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// unready takes back what a former run has stored of its pods: their processes
// are gone, and their addresses may become those of others. It comes before
// anybody asks whether the mesh is ready, and before the controllers count.
func unready(ctx context.Context, kube kubernetes.Interface) error {
	pods, err := kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the pods of the former run: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: pod.Status.QOSClass}
		if _, err := kube.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("take back the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	sets, err := kube.AppsV1().ReplicaSets("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the replica sets of the former run: %w", err)
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		set.Status.ReadyReplicas, set.Status.AvailableReplicas = 0, 0
		if _, err := kube.AppsV1().ReplicaSets(set.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("take back the status of replica set %s/%s: %w", set.Namespace, set.Name, err)
		}
	}
	return unreadyDeployments(ctx, kube)
}

func unreadyDeployments(ctx context.Context, kube kubernetes.Interface) error {
	all, err := kube.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the deployments of the former run: %w", err)
	}
	for i := range all.Items {
		d := &all.Items[i]
		d.Status.ReadyReplicas, d.Status.AvailableReplicas, d.Status.UnavailableReplicas = 0, 0, d.Status.Replicas
		if _, err := kube.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("take back the status of deployment %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	return nil
}
