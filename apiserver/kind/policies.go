package kind

import (
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// policies are kinds that are stored for others to read; the API itself enforces none of them.
func policies() []*Kind {
	rbac := rbacv1.SchemeGroupVersion
	return []*Kind{
		entry[policyv1.PodDisruptionBudget]{gv: policyv1.SchemeGroupVersion, kind: "PodDisruptionBudget", plural: "poddisruptionbudgets",
			short: []string{"pdb"}, generation: true, status: true}.row(),
		entry[rbacv1.Role]{gv: rbac, kind: "Role", plural: "roles", name: segment}.row(),
		entry[rbacv1.RoleBinding]{gv: rbac, kind: "RoleBinding", plural: "rolebindings", name: segment}.row(),
		entry[rbacv1.ClusterRole]{gv: rbac, kind: "ClusterRole", plural: "clusterroles", cluster: true, name: segment}.row(),
		entry[rbacv1.ClusterRoleBinding]{gv: rbac, kind: "ClusterRoleBinding", plural: "clusterrolebindings", cluster: true, name: segment}.row(),
		entry[schedulingv1.PriorityClass]{gv: schedulingv1.SchemeGroupVersion, kind: "PriorityClass", plural: "priorityclasses",
			short: []string{"pc"}, cluster: true}.row(),
		entry[storagev1.StorageClass]{gv: storagev1.SchemeGroupVersion, kind: "StorageClass", plural: "storageclasses",
			short: []string{"sc"}, cluster: true}.row(),
	}
}
