package controller

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// addDaemonSets runs one pod of each DaemonSet: there is one node.
func (s *Set) addDaemonSets() {
	l := s.newLoop("daemonset", s.syncDaemonSet)
	enqueue := func(key string) { l.queue.Add(key) }
	watch(s.informers.Apps().V1().DaemonSets().Informer(), func(o metav1.Object) { enqueue(keyOf(o)) })
	watch(s.informers.Core().V1().Pods().Informer(), func(o metav1.Object) { owned(o, "DaemonSet", enqueue) })
}

func (s *Set) syncDaemonSet(ctx context.Context, key string) error {
	namespace, name := split(key)
	ds, err := s.Kube.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil || ds.DeletionTimestamp != nil {
		return gone(err)
	}
	pods, err := s.podsOf(ctx, namespace, ds.Spec.Selector, ds)
	if err != nil {
		return err
	}
	hash := hashOf(ds.Spec.Template)
	status := appsv1.DaemonSetStatus{ObservedGeneration: ds.Generation, DesiredNumberScheduled: 1}
	live := 0
	for _, p := range pods {
		switch {
		case p.DeletionTimestamp != nil:
			live++ // its end comes before its successor
		case p.Labels[appsv1.ControllerRevisionHashLabelKey] != hash:
			live++
			if err := s.deletePod(ctx, ds, p); err != nil {
				return err
			}
		default:
			live++
			status.CurrentNumberScheduled++
			status.UpdatedNumberScheduled++
			if podReady(p) {
				status.NumberReady++
				status.NumberAvailable++
			}
		}
	}
	if live == 0 {
		template := *ds.Spec.Template.DeepCopy()
		template.Labels = withLabel(template.Labels, appsv1.ControllerRevisionHashLabelKey, hash)
		if err := s.createPod(ctx, ds, "DaemonSet", template, ds.Name); err != nil {
			return err
		}
	}
	status.NumberUnavailable = status.DesiredNumberScheduled - status.NumberAvailable
	if equality.Semantic.DeepEqual(status, ds.Status) {
		return nil
	}
	ds.Status = status
	_, err = s.Kube.AppsV1().DaemonSets(namespace).UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	return gone(err)
}
