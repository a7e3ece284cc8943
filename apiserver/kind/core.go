package kind

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// core are the kinds of the group without a name.
func core() []*Kind {
	gv := corev1.SchemeGroupVersion
	return []*Kind{
		entry[corev1.Namespace]{gv: gv, kind: "Namespace", plural: "namespaces",
			table: table.Namespace, short: []string{"ns"}, cluster: true,
			status: true, name: dnsLabel,
			connect: []Subresource{{Name: "finalize", Kind: gv.WithKind("Namespace"), Verbs: []string{"update"}}},
			fields:  Labels("status.phase"),
		}.row(),
		entry[corev1.Node]{gv: gv, kind: "Node", plural: "nodes",
			table: table.Node, short: []string{"no"}, cluster: true, status: true,
			fields: Labels("spec.unschedulable"),
		}.row(),
		entry[corev1.Pod]{gv: gv, kind: "Pod", plural: "pods",
			defaults: defaults.Pod, validate: validate.Pod, table: table.Pod, short: []string{"po"}, categories: all,
			generation: true, status: true, connect: podSubresources,
			fields: Labels("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
				"spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"),
		}.row(),
		entry[corev1.Service]{gv: gv, kind: "Service", plural: "services",
			defaults: defaults.Service, validate: validate.Service, table: table.Service, short: []string{"svc"}, categories: all,
			status: true, name: dns1035, fields: Labels("spec.clusterIP", "spec.type"),
		}.row(),
		entry[corev1.Endpoints]{gv: gv, kind: "Endpoints", plural: "endpoints",
			defaults: defaults.Endpoints, table: table.Endpoints, short: []string{"ep"}}.row(),
		entry[corev1.ConfigMap]{gv: gv, kind: "ConfigMap", plural: "configmaps",
			validate: validate.ConfigMap, table: table.ConfigMap, short: []string{"cm"}}.row(),
		entry[corev1.Secret]{gv: gv, kind: "Secret", plural: "secrets",
			defaults: defaults.Secret, validate: validate.Secret, table: table.Secret, fields: Labels("type")}.row(),
		entry[corev1.ServiceAccount]{gv: gv, kind: "ServiceAccount", plural: "serviceaccounts",
			table: table.ServiceAccount, short: []string{"sa"},
			connect: []Subresource{{Name: "token", Verbs: []string{"create"},
				Kind: schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}}},
		}.row(),
		entry[corev1.Event]{gv: gv, kind: "Event", plural: "events",
			validate: validate.Event, table: table.Event, short: []string{"ev"}, fields: eventFields}.row(),
		event(),
		entry[corev1.PersistentVolumeClaim]{gv: gv, kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims",
			defaults: defaults.PersistentVolumeClaim, table: table.PersistentVolumeClaim,
			short: []string{"pvc"}, status: true}.row(),
		entry[corev1.PersistentVolume]{gv: gv, kind: "PersistentVolume", plural: "persistentvolumes",
			defaults: defaults.PersistentVolume, table: table.PersistentVolume,
			short: []string{"pv"}, cluster: true, status: true}.row(),
		entry[corev1.LimitRange]{gv: gv, kind: "LimitRange", plural: "limitranges",
			table: table.LimitRange, short: []string{"limits"}}.row(),
		entry[corev1.ResourceQuota]{gv: gv, kind: "ResourceQuota", plural: "resourcequotas",
			table: table.ResourceQuota, short: []string{"quota"}, status: true}.row(),
	}
}

// podSubresources are the endpoints that lead to a running pod.
var podSubresources = []Subresource{
	{Name: "attach", Kind: corev1.SchemeGroupVersion.WithKind("PodAttachOptions"), Verbs: []string{"create", "get"}},
	{Name: "binding", Kind: corev1.SchemeGroupVersion.WithKind("Binding"), Verbs: []string{"create"}},
	{Name: "eviction", Kind: schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}, Verbs: []string{"create"}},
	{Name: "exec", Kind: corev1.SchemeGroupVersion.WithKind("PodExecOptions"), Verbs: []string{"create", "get"}},
	{Name: "log", Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Verbs: []string{"get"}},
	{Name: "portforward", Kind: corev1.SchemeGroupVersion.WithKind("PodPortForwardOptions"), Verbs: []string{"create", "get"}},
}

// eventFields are what kubectl describe selects events by.
func eventFields(obj map[string]any) map[string]string {
	out := Labels("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
		"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
		"reason", "reportingComponent", "type")(obj)
	out["source"] = text(obj, []string{"source", "component"})
	if out["source"] == "" {
		out["source"] = out["reportingComponent"]
	}
	return out
}
