package kind

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// apps are the kinds that run pods.
func apps() []*Kind {
	gv := appsv1.SchemeGroupVersion
	return []*Kind{
		entry[appsv1.Deployment]{gv: gv, kind: "Deployment", plural: "deployments",
			defaults: defaults.Deployment, validate: validate.Deployment, table: table.Deployment, short: []string{"deploy"}, categories: all,
			generation: true, status: true, scale: replicas,
		}.row(),
		entry[appsv1.ReplicaSet]{gv: gv, kind: "ReplicaSet", plural: "replicasets",
			defaults: defaults.ReplicaSet, validate: validate.ReplicaSet, table: table.ReplicaSet, short: []string{"rs"}, categories: all,
			generation: true, status: true, scale: replicas, fields: Labels("status.replicas"),
		}.row(),
		entry[appsv1.StatefulSet]{gv: gv, kind: "StatefulSet", plural: "statefulsets",
			defaults: defaults.StatefulSet, validate: validate.StatefulSet, table: table.StatefulSet, short: []string{"sts"}, categories: all,
			generation: true, status: true, scale: replicas,
		}.row(),
		entry[appsv1.DaemonSet]{gv: gv, kind: "DaemonSet", plural: "daemonsets",
			defaults: defaults.DaemonSet, validate: validate.DaemonSet, table: table.DaemonSet, short: []string{"ds"}, categories: all,
			generation: true, status: true,
		}.row(),
		entry[appsv1.ControllerRevision]{gv: gv, kind: "ControllerRevision", plural: "controllerrevisions",
			table: table.ControllerRevision}.row(),
		entry[batchv1.Job]{gv: batchv1.SchemeGroupVersion, kind: "Job", plural: "jobs",
			defaults: defaults.Job, validate: validate.Job, table: table.Job, categories: all,
			generation: true, status: true, fields: Labels("status.successful"),
		}.row(),
		entry[batchv1.CronJob]{gv: batchv1.SchemeGroupVersion, kind: "CronJob", plural: "cronjobs",
			defaults: defaults.CronJob, validate: validate.CronJob, table: table.CronJob, short: []string{"cj"}, categories: all,
			generation: true, status: true,
		}.row(),
		autoscaler(),
	}
}
