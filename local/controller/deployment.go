package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
)

const (
	templateHash       = appsv1.DefaultDeploymentUniqueLabelKey // pod-template-hash
	revisionAnnotation = "deployment.kubernetes.io/revision"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

// addDeployments rolls Deployments out through ReplicaSets.
func (s *Set) addDeployments() {
	l := s.newLoop("deployment", s.syncDeployment)
	enqueue := func(key string) { l.queue.Add(key) }
	watch(s.informers.Apps().V1().Deployments().Informer(), func(o metav1.Object) { enqueue(keyOf(o)) })
	watch(s.informers.Apps().V1().ReplicaSets().Informer(), func(o metav1.Object) { owned(o, "Deployment", enqueue) })
}

// rollout is a Deployment with its ReplicaSets.
type rollout struct {
	*appsv1.Deployment
	current *appsv1.ReplicaSet   // for the template as it is; nil before it is made
	old     []*appsv1.ReplicaSet // oldest revision first
}

func (s *Set) syncDeployment(ctx context.Context, key string) error {
	namespace, name := split(key)
	d, err := s.Kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil || d.DeletionTimestamp != nil {
		return gone(err)
	}
	r, err := s.rolloutOf(ctx, d)
	if err != nil {
		return err
	}
	if r.current == nil && !d.Spec.Paused {
		if err := s.createReplicaSet(ctx, r); err != nil {
			return err
		}
	}
	if err := s.number(ctx, r); err != nil {
		return err
	}
	if r.current != nil {
		if err := s.advance(ctx, r); err != nil {
			return err
		}
	}
	if err := s.forgetOld(ctx, r); err != nil {
		return err
	}
	return s.deploymentStatus(ctx, r)
}

func (s *Set) rolloutOf(ctx context.Context, d *appsv1.Deployment) (*rollout, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, err
	}
	list, err := s.Kube.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	r := &rollout{Deployment: d}
	for i := range list.Items {
		rs := &list.Items[i]
		if !metav1.IsControlledBy(rs, d) || rs.DeletionTimestamp != nil {
			continue
		}
		if r.current == nil && sameTemplate(rs.Spec.Template, d.Spec.Template) {
			r.current = rs
		} else {
			r.old = append(r.old, rs)
		}
	}
	slices.SortFunc(r.old, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revision(a), revision(b)), cmp.Compare(a.Name, b.Name))
	})
	return r, nil
}

// sameTemplate compares templates but for the hash that was added to one.
func sameTemplate(a, b corev1.PodTemplateSpec) bool {
	a, b = *a.DeepCopy(), *b.DeepCopy()
	delete(a.Labels, templateHash)
	delete(b.Labels, templateHash)
	return equality.Semantic.DeepEqual(a, b)
}

func revision(o metav1.Object) int64 {
	n, _ := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
	return n
}

// hashOf is the name part that tells templates apart.
func hashOf(template corev1.PodTemplateSpec) string {
	body, err := json.Marshal(template)
	if err != nil {
		panic(err) // a template that the API gave can be written again
	}
	h := fnv.New32a()
	h.Write(body)
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

func (s *Set) createReplicaSet(ctx context.Context, r *rollout) error {
	d, hash := r.Deployment, hashOf(r.Spec.Template)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name + "-" + hash, Namespace: d.Namespace, Labels: withLabel(d.Spec.Template.Labels, templateHash, hash),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32), MinReadySeconds: d.Spec.MinReadySeconds, Selector: d.Spec.Selector.DeepCopy(), Template: *d.Spec.Template.DeepCopy()},
	}
	rs.Spec.Template.Labels = withLabel(rs.Spec.Template.Labels, templateHash, hash)
	rs.Spec.Selector.MatchLabels = withLabel(rs.Spec.Selector.MatchLabels, templateHash, hash)
	// Nothing old to replace: it can start at its full size.
	if active(r.old) == 0 {
		*rs.Spec.Replicas = *d.Spec.Replicas
	}
	s.annotate(rs, r, r.lastRevision()+1)
	made, err := s.Kube.AppsV1().ReplicaSets(d.Namespace).Create(ctx, rs, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create ReplicaSet %s: %w", rs.Name, err)
	}
	r.current = made
	if *rs.Spec.Replicas > 0 {
		s.recorder.Eventf(d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", made.Name, *rs.Spec.Replicas)
	}
	return nil
}

func withLabel(labels map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	for k, v := range labels {
		if k != name {
			all[k] = v
		}
	}
	return all
}

func (r *rollout) lastRevision() int64 {
	var last int64
	for _, rs := range r.old {
		last = max(last, revision(rs))
	}
	return last
}

func (s *Set) annotate(rs *appsv1.ReplicaSet, r *rollout, number int64) bool {
	want := map[string]string{
		revisionAnnotation: strconv.FormatInt(number, 10),
		desiredAnnotation:  strconv.Itoa(int(*r.Spec.Replicas)),
		maxAnnotation:      strconv.Itoa(int(*r.Spec.Replicas + r.surge())),
	}
	if cause := r.Annotations["kubernetes.io/change-cause"]; cause != "" {
		want["kubernetes.io/change-cause"] = cause
	}
	changed := false
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range want {
		changed = changed || rs.Annotations[k] != v
		rs.Annotations[k] = v
	}
	return changed
}

// number gives the current ReplicaSet and the Deployment their revision. A
// template that comes back (rollout undo) gets a new number.
func (s *Set) number(ctx context.Context, r *rollout) error {
	if r.current == nil {
		return nil
	}
	n := revision(r.current)
	if last := r.lastRevision(); n <= last {
		n = last + 1
	}
	if s.annotate(r.current, r, n) {
		updated, err := s.Kube.AppsV1().ReplicaSets(r.Namespace).Update(ctx, r.current, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		r.current = updated
	}
	if revision(r.Deployment) == n {
		return nil
	}
	d := r.Deployment.DeepCopy()
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[revisionAnnotation] = strconv.FormatInt(n, 10)
	updated, err := s.Kube.AppsV1().Deployments(d.Namespace).Update(ctx, d, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	r.Deployment = updated
	return nil
}

func active(sets []*appsv1.ReplicaSet) int32 {
	var n int32
	for _, rs := range sets {
		n += *rs.Spec.Replicas
	}
	return n
}

// surge is how many pods more than wanted a rollout may have.
func (r *rollout) surge() int32 {
	u := r.Spec.Strategy.RollingUpdate
	if u == nil || u.MaxSurge == nil || r.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0
	}
	n, _ := intstr.GetScaledValueFromIntOrPercent(u.MaxSurge, int(*r.Spec.Replicas), true)
	return int32(n)
}

// lacking is how many pods fewer than wanted may be available.
func (r *rollout) lacking() int32 {
	u := r.Spec.Strategy.RollingUpdate
	if u == nil || u.MaxUnavailable == nil {
		return 0
	}
	n, _ := intstr.GetScaledValueFromIntOrPercent(u.MaxUnavailable, int(*r.Spec.Replicas), false)
	if n == 0 && r.surge() == 0 {
		n = 1 // else nothing could ever move
	}
	return min(int32(n), *r.Spec.Replicas)
}

// advance moves replicas from the old sets to the current one, as far as the
// strategy allows now. Each change in readiness calls again.
func (s *Set) advance(ctx context.Context, r *rollout) error {
	want := *r.Spec.Replicas
	if r.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		for _, rs := range r.old {
			if err := s.scale(ctx, r, rs, 0); err != nil {
				return err
			}
		}
		for _, rs := range r.old {
			if rs.Status.Replicas > 0 {
				return nil
			}
		}
		return s.scale(ctx, r, r.current, want)
	}
	current := *r.current.Spec.Replicas
	switch room := want + r.surge() - active(r.old) - current; {
	case current > want:
		if err := s.scale(ctx, r, r.current, want); err != nil {
			return err
		}
	case current < want && room > 0:
		if err := s.scale(ctx, r, r.current, min(want, current+room)); err != nil {
			return err
		}
	}
	return s.retire(ctx, r)
}

// retire takes old replicas away: those that are not available cost nothing, the
// others only as many as the current set has made up for.
func (s *Set) retire(ctx context.Context, r *rollout) error {
	available := r.current.Status.AvailableReplicas
	for _, rs := range r.old {
		available += rs.Status.AvailableReplicas
	}
	spare := available - (*r.Spec.Replicas - r.lacking())
	for _, rs := range r.old {
		have := *rs.Spec.Replicas
		if have == 0 {
			continue
		}
		broken := max(0, have-rs.Status.AvailableReplicas)
		if rs.Status.ObservedGeneration < rs.Generation {
			broken = 0 // its status is older than its size
		}
		take := broken + min(max(0, spare), have-broken)
		spare -= take - broken
		if err := s.scale(ctx, r, rs, have-take); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) scale(ctx context.Context, r *rollout, rs *appsv1.ReplicaSet, to int32) error {
	from := *rs.Spec.Replicas
	if from == to {
		return nil
	}
	changed := rs.DeepCopy()
	*changed.Spec.Replicas = to
	updated, err := s.Kube.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	updated.DeepCopyInto(rs)
	direction := "up"
	if to < from {
		direction = "down"
	}
	s.recorder.Eventf(r.Deployment, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, rs.Name, from, to)
	return nil
}

// forgetOld deletes the empty old sets beyond the history limit.
func (s *Set) forgetOld(ctx context.Context, r *rollout) error {
	if r.Spec.RevisionHistoryLimit == nil {
		return nil
	}
	var empty []*appsv1.ReplicaSet
	for _, rs := range r.old {
		if *rs.Spec.Replicas == 0 && rs.Status.Replicas == 0 {
			empty = append(empty, rs)
		}
	}
	for _, rs := range empty[:max(0, len(empty)-int(*r.Spec.RevisionHistoryLimit))] {
		if err := s.Kube.AppsV1().ReplicaSets(rs.Namespace).Delete(ctx, rs.Name, metav1.DeleteOptions{PropagationPolicy: &background}); gone(err) != nil {
			return err
		}
	}
	return nil
}

func (s *Set) deploymentStatus(ctx context.Context, r *rollout) error {
	d := r.Deployment
	status := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Conditions: slices.Clone(d.Status.Conditions), CollisionCount: d.Status.CollisionCount}
	all := r.old
	if r.current != nil {
		status.UpdatedReplicas = r.current.Status.Replicas
		all = append(slices.Clone(r.old), r.current)
	}
	for _, rs := range all {
		status.Replicas += rs.Status.Replicas
		status.ReadyReplicas += rs.Status.ReadyReplicas
		status.AvailableReplicas += rs.Status.AvailableReplicas
	}
	status.UnavailableReplicas = max(0, *d.Spec.Replicas-status.AvailableReplicas)
	available := status.AvailableReplicas >= *d.Spec.Replicas-r.lacking()
	condition(&status, appsv1.DeploymentAvailable, available, "MinimumReplicasAvailable", "MinimumReplicasUnavailable", "Deployment has minimum availability.", "Deployment does not have minimum availability.")
	complete := r.current != nil && status.UpdatedReplicas == *d.Spec.Replicas && status.Replicas == status.UpdatedReplicas && status.AvailableReplicas == status.Replicas
	if r.current != nil {
		reason, text := "ReplicaSetUpdated", fmt.Sprintf("ReplicaSet %q is progressing.", r.current.Name)
		if complete {
			reason, text = "NewReplicaSetAvailable", fmt.Sprintf("ReplicaSet %q has successfully progressed.", r.current.Name)
		}
		condition(&status, appsv1.DeploymentProgressing, true, reason, "", text, "")
	}
	if equality.Semantic.DeepEqual(status, d.Status) {
		return nil
	}
	changed := d.DeepCopy()
	changed.Status = status
	_, err := s.Kube.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return gone(err)
}

// condition sets a condition, and its times when it changes.
func condition(status *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType, holds bool, reason, otherwise, text, otherText string) {
	want := appsv1.DeploymentCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: text}
	if !holds {
		want.Status, want.Reason, want.Message = corev1.ConditionFalse, otherwise, otherText
	}
	now := metav1.NewTime(time.Now())
	want.LastUpdateTime, want.LastTransitionTime = now, now
	for i := range status.Conditions {
		have := &status.Conditions[i]
		if have.Type != kind {
			continue
		}
		if have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message {
			return
		}
		if have.Status == want.Status {
			want.LastTransitionTime = have.LastTransitionTime
		}
		*have = want
		return
	}
	status.Conditions = append(status.Conditions, want)
}
