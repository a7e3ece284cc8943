package kind

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
)

// apps are the kinds that run pods.
func apps() []*Kind {
	gv := appsv1.SchemeGroupVersion
	return []*Kind{
		entry[appsv1.Deployment]{gv: gv, kind: "Deployment", plural: "deployments", short: []string{"deploy"}, categories: all,
			generation: true, status: true, scale: replicas,
		}.row(),
		entry[appsv1.ReplicaSet]{gv: gv, kind: "ReplicaSet", plural: "replicasets", short: []string{"rs"}, categories: all,
			generation: true, status: true, scale: replicas, fields: Labels("status.replicas"),
		}.row(),
		entry[appsv1.StatefulSet]{gv: gv, kind: "StatefulSet", plural: "statefulsets", short: []string{"sts"}, categories: all,
			generation: true, status: true, scale: replicas,
		}.row(),
		entry[appsv1.DaemonSet]{gv: gv, kind: "DaemonSet", plural: "daemonsets", short: []string{"ds"}, categories: all,
			generation: true, status: true,
		}.row(),
		entry[appsv1.ControllerRevision]{gv: gv, kind: "ControllerRevision", plural: "controllerrevisions"}.row(),
		entry[batchv1.Job]{gv: batchv1.SchemeGroupVersion, kind: "Job", plural: "jobs", categories: all,
			generation: true, status: true, fields: Labels("status.successful"),
		}.row(),
		entry[batchv1.CronJob]{gv: batchv1.SchemeGroupVersion, kind: "CronJob", plural: "cronjobs", short: []string{"cj"}, categories: all,
			generation: true, status: true,
		}.row(),
		entry[autoscalingv2.HorizontalPodAutoscaler]{gv: autoscalingv2.SchemeGroupVersion,
			kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", short: []string{"hpa"}, categories: all, status: true,
		}.row(),
	}
}
