package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// addReplicaSets keeps as many pods as each ReplicaSet asks for.
func (s *Set) addReplicaSets() {
	l := s.newLoop("replicaset", s.syncReplicaSet)
	enqueue := func(key string) { l.queue.Add(key) }
	watch(s.informers.Apps().V1().ReplicaSets().Informer(), func(o metav1.Object) { enqueue(keyOf(o)) })
	watch(s.informers.Core().V1().Pods().Informer(), func(o metav1.Object) { owned(o, "ReplicaSet", enqueue) })
}

func (s *Set) syncReplicaSet(ctx context.Context, key string) error {
	namespace, name := split(key)
	// The cache may lag behind our own writes, which would make pods twice: the
	// API is in this process, so that asking it costs little.
	rs, err := s.Kube.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil || rs.DeletionTimestamp != nil {
		return gone(err)
	}
	pods, err := s.podsOf(ctx, namespace, rs.Spec.Selector, rs)
	if err != nil {
		return err
	}
	live := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
	want := int(*rs.Spec.Replicas)
	for n := len(live); n < want; n++ {
		if err := s.createPod(ctx, rs, "ReplicaSet", rs.Spec.Template, rs.Name); err != nil {
			return err
		}
	}
	if len(live) > want {
		slices.SortFunc(live, leastWanted)
		for _, p := range live[:len(live)-want] {
			if err := s.deletePod(ctx, rs, p); err != nil {
				return err
			}
		}
	}
	return s.replicaSetStatus(ctx, rs, live)
}

// podsOf lists the pods that an owner controls.
func (s *Set) podsOf(ctx context.Context, namespace string, selector *metav1.LabelSelector, owner metav1.Object) ([]*corev1.Pod, error) {
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	list, err := s.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], owner) {
			pods = append(pods, &list.Items[i])
		}
	}
	return pods, nil
}

// leastWanted orders pods by how little would be lost with them: not running,
// not ready, young.
func leastWanted(a, b *corev1.Pod) int {
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case p.Status.Phase == corev1.PodPending:
			return 1
		case !podReady(p):
			return 2
		}
		return 3
	}
	return cmp.Or(rank(a)-rank(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

type owner interface {
	metav1.Object
	runtime.Object
}

// createPod makes a pod from a template.
func (s *Set) createPod(ctx context.Context, o owner, kind string, template corev1.PodTemplateSpec, prefix string) error {
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.Name, pod.GenerateName, pod.Namespace = "", prefix+"-", o.GetNamespace()
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o, appsv1.SchemeGroupVersion.WithKind(kind))}
	made, err := s.Kube.CoreV1().Pods(o.GetNamespace()).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			s.recorder.Eventf(o, corev1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
		return fmt.Errorf("create a pod of %s: %w", o.GetName(), err)
	}
	s.recorder.Eventf(o, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
	return nil
}

func (s *Set) deletePod(ctx context.Context, o owner, p *corev1.Pod) error {
	if err := s.Kube.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{}); gone(err) != nil {
		return err
	}
	s.recorder.Eventf(o, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
	return nil
}

func (s *Set) replicaSetStatus(ctx context.Context, rs *appsv1.ReplicaSet, live []*corev1.Pod) error {
	status := appsv1.ReplicaSetStatus{Replicas: int32(len(live)), ObservedGeneration: rs.Generation, Conditions: rs.Status.Conditions}
	template := labels.SelectorFromSet(rs.Spec.Template.Labels)
	for _, p := range live {
		if template.Matches(labels.Set(p.Labels)) {
			status.FullyLabeledReplicas++
		}
		if podReady(p) {
			status.ReadyReplicas++
			status.AvailableReplicas++
		}
	}
	if equality.Semantic.DeepEqual(status, rs.Status) {
		return nil
	}
	rs.Status = status
	_, err := s.Kube.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, rs, metav1.UpdateOptions{})
	return gone(err)
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
