package validate

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var spec = field.NewPath("spec")

// Deployment checks a deployment. Its selector may not change.
func Deployment(d, old *appsv1.Deployment) field.ErrorList {
	errs := selects(d.Spec.Selector, d.Spec.Template.Labels, spec)
	errs = append(errs, podTemplate(&d.Spec.Template, spec.Child("template"), corev1.RestartPolicyAlways)...)
	errs = append(errs, atLeast(d.Spec.Replicas, 0, spec.Child("replicas"))...)
	errs = append(errs, atLeast(&d.Spec.MinReadySeconds, 0, spec.Child("minReadySeconds"))...)
	errs = append(errs, oneOf(d.Spec.Strategy.Type, spec.Child("strategy", "type"),
		appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType)...)
	if ru := d.Spec.Strategy.RollingUpdate; ru != nil {
		path := spec.Child("strategy", "rollingUpdate")
		if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
			errs = append(errs, field.Forbidden(path, "may not be specified when strategy `type` is 'Recreate'"))
		} else if isZero(ru.MaxUnavailable) && isZero(ru.MaxSurge) {
			errs = append(errs, field.Invalid(path.Child("maxUnavailable"), ru.MaxUnavailable.String(), "may not be 0 when `maxSurge` is 0"))
		}
	}
	if old != nil && len(errs) == 0 {
		errs = append(errs, unchanged(d.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
	}
	return errs
}

func isZero(v *intstr.IntOrString) bool {
	return v != nil && (v.Type == intstr.Int && v.IntVal == 0 || v.Type == intstr.String && v.StrVal == "0%")
}

// ReplicaSet checks a replica set. Its selector may not change.
func ReplicaSet(r, old *appsv1.ReplicaSet) field.ErrorList {
	errs := selects(r.Spec.Selector, r.Spec.Template.Labels, spec)
	errs = append(errs, podTemplate(&r.Spec.Template, spec.Child("template"), corev1.RestartPolicyAlways)...)
	errs = append(errs, atLeast(r.Spec.Replicas, 0, spec.Child("replicas"))...)
	if old != nil {
		errs = append(errs, unchanged(r.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
	}
	return errs
}

// DaemonSet checks a daemon set. Its selector may not change.
func DaemonSet(d, old *appsv1.DaemonSet) field.ErrorList {
	errs := selects(d.Spec.Selector, d.Spec.Template.Labels, spec)
	errs = append(errs, podTemplate(&d.Spec.Template, spec.Child("template"), corev1.RestartPolicyAlways)...)
	if old != nil {
		errs = append(errs, unchanged(d.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
	}
	return errs
}

// StatefulSet checks a stateful set. Of its spec only some fields may change.
func StatefulSet(s, old *appsv1.StatefulSet) field.ErrorList {
	errs := selects(s.Spec.Selector, s.Spec.Template.Labels, spec)
	errs = append(errs, podTemplate(&s.Spec.Template, spec.Child("template"), corev1.RestartPolicyAlways)...)
	errs = append(errs, atLeast(s.Spec.Replicas, 0, spec.Child("replicas"))...)
	if old == nil {
		return errs
	}
	now := s.Spec.DeepCopy()
	now.Replicas, now.Template, now.UpdateStrategy = old.Spec.Replicas, old.Spec.Template, old.Spec.UpdateStrategy
	now.RevisionHistoryLimit, now.MinReadySeconds, now.Ordinals = old.Spec.RevisionHistoryLimit, old.Spec.MinReadySeconds, old.Spec.Ordinals
	now.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	if !apiequality.Semantic.DeepEqual(*now, old.Spec) {
		errs = append(errs, field.Forbidden(spec, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
}

// Job checks a job. Its selector and, mostly, its template may not change.
func Job(j, old *batchv1.Job) field.ErrorList {
	errs := podTemplate(&j.Spec.Template, spec.Child("template"), corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	errs = append(errs, atLeast(j.Spec.Parallelism, 0, spec.Child("parallelism"))...)
	errs = append(errs, atLeast(j.Spec.Completions, 0, spec.Child("completions"))...)
	errs = append(errs, atLeast(j.Spec.BackoffLimit, 0, spec.Child("backoffLimit"))...)
	if old != nil {
		errs = append(errs, unchanged(j.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
		errs = append(errs, unchanged(j.Spec.Completions, old.Spec.Completions, spec.Child("completions"))...)
		if !deref(old.Spec.Suspend) {
			errs = append(errs, unchanged(j.Spec.Template, old.Spec.Template, spec.Child("template"))...)
		}
	}
	return errs
}

func deref(b *bool) bool { return b != nil && *b }

// CronJob checks a cron job.
func CronJob(c, _ *batchv1.CronJob) field.ErrorList {
	errs := required(c.Spec.Schedule, spec.Child("schedule"))
	errs = append(errs, oneOf(c.Spec.ConcurrencyPolicy, spec.Child("concurrencyPolicy"),
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)
	return append(errs, podTemplate(&c.Spec.JobTemplate.Spec.Template, spec.Child("jobTemplate", "spec", "template"),
		corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
}

// HorizontalPodAutoscaler checks an autoscaler.
func HorizontalPodAutoscaler(h, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	errs := atLeast(h.Spec.MinReplicas, 1, spec.Child("minReplicas"))
	if h.Spec.MaxReplicas < 1 {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), h.Spec.MaxReplicas, "must be greater than 0"))
	}
	if h.Spec.MinReplicas != nil && h.Spec.MaxReplicas < *h.Spec.MinReplicas {
		errs = append(errs, field.Invalid(spec.Child("maxReplicas"), h.Spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, required(h.Spec.ScaleTargetRef.Kind, spec.Child("scaleTargetRef", "kind"))...)
	errs = append(errs, required(h.Spec.ScaleTargetRef.Name, spec.Child("scaleTargetRef", "name"))...)
	for i, m := range h.Spec.Metrics {
		errs = append(errs, required(string(m.Type), spec.Child("metrics").Index(i).Child("type"))...)
	}
	return errs
}
