package table

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Deployment prints deployments.
var Deployment = Printer[appsv1.Deployment]{
	Columns: columns("Name", "Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector"),
	Row: func(d *appsv1.Deployment) []any {
		names, images := containers(&d.Spec.Template.Spec)
		return []any{d.Name, count(int(d.Status.ReadyReplicas), int(deref(d.Spec.Replicas, 1))), int64(d.Status.UpdatedReplicas),
			int64(d.Status.AvailableReplicas), Age(d.CreationTimestamp), names, images, selector(d.Spec.Selector)}
	},
}

// ReplicaSet prints replica sets.
var ReplicaSet = Printer[appsv1.ReplicaSet]{
	Columns: columns("Name", "Desired", "Current", "Ready", "Age", "+Containers", "+Images", "+Selector"),
	Row: func(r *appsv1.ReplicaSet) []any {
		names, images := containers(&r.Spec.Template.Spec)
		return []any{r.Name, int64(deref(r.Spec.Replicas, 1)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
			Age(r.CreationTimestamp), names, images, selector(r.Spec.Selector)}
	},
}

// DaemonSet prints daemon sets.
var DaemonSet = Printer[appsv1.DaemonSet]{
	Columns: columns("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", "+Containers", "+Images", "+Selector"),
	Row: func(d *appsv1.DaemonSet) []any {
		names, images := containers(&d.Spec.Template.Spec)
		return []any{d.Name, int64(d.Status.DesiredNumberScheduled), int64(d.Status.CurrentNumberScheduled), int64(d.Status.NumberReady),
			int64(d.Status.UpdatedNumberScheduled), int64(d.Status.NumberAvailable), labelMap(d.Spec.Template.Spec.NodeSelector),
			Age(d.CreationTimestamp), names, images, selector(d.Spec.Selector)}
	},
}

// StatefulSet prints stateful sets.
var StatefulSet = Printer[appsv1.StatefulSet]{
	Columns: columns("Name", "Ready", "Age", "+Containers", "+Images"),
	Row: func(s *appsv1.StatefulSet) []any {
		names, images := containers(&s.Spec.Template.Spec)
		return []any{s.Name, count(int(s.Status.ReadyReplicas), int(deref(s.Spec.Replicas, 1))), Age(s.CreationTimestamp), names, images}
	},
}

// ControllerRevision prints controller revisions.
var ControllerRevision = Printer[appsv1.ControllerRevision]{
	Columns: columns("Name", "Controller", "Revision", "Age"),
	Row: func(c *appsv1.ControllerRevision) []any {
		owner := none
		if ref := metav1.GetControllerOf(c); ref != nil {
			owner = strings.ToLower(ref.Kind) + "/" + ref.Name
		}
		return []any{c.Name, owner, c.Revision, Age(c.CreationTimestamp)}
	},
}

// Job prints jobs.
var Job = Printer[batchv1.Job]{
	Columns: columns("Name", "Status", "Completions", "Duration", "Age", "+Containers", "+Images", "+Selector"),
	Row: func(j *batchv1.Job) []any {
		names, images := containers(&j.Spec.Template.Spec)
		completions := fmt.Sprintf("%d/%d", j.Status.Succeeded, deref(j.Spec.Completions, 1))
		if j.Spec.Completions == nil && deref(j.Spec.Parallelism, 0) > 1 {
			completions = fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, *j.Spec.Parallelism)
		}
		return []any{j.Name, jobStatus(j), completions, jobDuration(j), Age(j.CreationTimestamp), names, images, selector(j.Spec.Selector)}
	},
}

func jobStatus(j *batchv1.Job) string {
	for _, c := range j.Status.Conditions {
		if c.Status != "True" {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuspended:
			return string(c.Type)
		}
	}
	if j.DeletionTimestamp != nil {
		return "Terminating"
	}
	return "Running"
}

func jobDuration(j *batchv1.Job) string {
	switch {
	case j.Status.StartTime == nil:
		return ""
	case j.Status.CompletionTime == nil:
		return duration.HumanDuration(time.Since(j.Status.StartTime.Time))
	default:
		return duration.HumanDuration(j.Status.CompletionTime.Sub(j.Status.StartTime.Time))
	}
}

// CronJob prints cron jobs.
var CronJob = Printer[batchv1.CronJob]{
	Columns: columns("Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", "+Containers", "+Images", "+Selector"),
	Row: func(c *batchv1.CronJob) []any {
		names, images := containers(&c.Spec.JobTemplate.Spec.Template.Spec)
		last := none
		if c.Status.LastScheduleTime != nil {
			last = Age(*c.Status.LastScheduleTime)
		}
		suspend := "False"
		if deref(c.Spec.Suspend, false) {
			suspend = "True"
		}
		return []any{c.Name, c.Spec.Schedule, deref(c.Spec.TimeZone, none), suspend, int64(len(c.Status.Active)), last,
			Age(c.CreationTimestamp), names, images, selector(c.Spec.JobTemplate.Spec.Selector)}
	},
}

// HorizontalPodAutoscaler prints autoscalers.
var HorizontalPodAutoscaler = Printer[autoscalingv2.HorizontalPodAutoscaler]{
	Columns: columns("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"),
	Row: func(h *autoscalingv2.HorizontalPodAutoscaler) []any {
		lowest := "<unset>"
		if h.Spec.MinReplicas != nil {
			lowest = fmt.Sprint(*h.Spec.MinReplicas)
		}
		return []any{h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, hpaTargets(h), lowest,
			int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), Age(h.CreationTimestamp)}
	},
}

// hpaTargets lists current/target of the first two metrics.
func hpaTargets(h *autoscalingv2.HorizontalPodAutoscaler) string {
	if len(h.Spec.Metrics) == 0 {
		return none
	}
	var list []string
	for i, m := range h.Spec.Metrics {
		var now autoscalingv2.MetricStatus
		if i < len(h.Status.CurrentMetrics) {
			now = h.Status.CurrentMetrics[i]
		}
		list = append(list, hpaTarget(m, now))
	}
	if len(list) > 2 {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:2], ", "), len(list)-2)
	}
	return strings.Join(list, ", ")
}

func hpaTarget(m autoscalingv2.MetricSpec, now autoscalingv2.MetricStatus) string {
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		var current autoscalingv2.MetricValueStatus
		if now.Resource != nil {
			current = now.Resource.Current
		}
		return string(m.Resource.Name) + ": " + targetText(m.Resource.Target, current)
	case autoscalingv2.ContainerResourceMetricSourceType:
		var current autoscalingv2.MetricValueStatus
		if now.ContainerResource != nil {
			current = now.ContainerResource.Current
		}
		return string(m.ContainerResource.Name) + ": " + targetText(m.ContainerResource.Target, current)
	case autoscalingv2.PodsMetricSourceType:
		var current autoscalingv2.MetricValueStatus
		if now.Pods != nil {
			current = now.Pods.Current
		}
		return targetText(m.Pods.Target, current)
	case autoscalingv2.ObjectMetricSourceType:
		var current autoscalingv2.MetricValueStatus
		if now.Object != nil {
			current = now.Object.Current
		}
		return targetText(m.Object.Target, current)
	case autoscalingv2.ExternalMetricSourceType:
		var current autoscalingv2.MetricValueStatus
		if now.External != nil {
			current = now.External.Current
		}
		return targetText(m.External.Target, current)
	}
	return "<unknown type>"
}

func targetText(target autoscalingv2.MetricTarget, current autoscalingv2.MetricValueStatus) string {
	is, want := "<unknown>", "<auto>"
	switch {
	case target.AverageUtilization != nil:
		want = fmt.Sprintf("%d%%", *target.AverageUtilization)
		if current.AverageUtilization != nil {
			is = fmt.Sprintf("%d%%", *current.AverageUtilization)
		}
	case target.AverageValue != nil:
		want = target.AverageValue.String()
		if current.AverageValue != nil {
			is = current.AverageValue.String()
		}
		if target.Type == autoscalingv2.AverageValueMetricType && current.Value != nil {
			is = current.Value.String()
		}
	case target.Value != nil:
		want = target.Value.String()
		if current.Value != nil {
			is = current.Value.String()
		}
	}
	return is + "/" + want
}
