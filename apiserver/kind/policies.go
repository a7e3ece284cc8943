package kind

import (
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/lateenmesh/lateen/apiserver/defaults"
	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// policies are kinds that are stored for others to read; the API itself enforces none of them.
func policies() []*Kind {
	rbac := rbacv1.SchemeGroupVersion
	return []*Kind{
		entry[policyv1.PodDisruptionBudget]{gv: policyv1.SchemeGroupVersion, kind: "PodDisruptionBudget", plural: "poddisruptionbudgets",
			validate: validate.PodDisruptionBudget, table: table.PodDisruptionBudget,
			short: []string{"pdb"}, generation: true, status: true}.row(),
		entry[rbacv1.Role]{gv: rbac, kind: "Role", plural: "roles",
			table: table.Role, name: segment}.row(),
		entry[rbacv1.RoleBinding]{gv: rbac, kind: "RoleBinding", plural: "rolebindings",
			defaults: defaults.RoleBinding, validate: validate.RoleBinding, table: table.RoleBinding, name: segment}.row(),
		entry[rbacv1.ClusterRole]{gv: rbac, kind: "ClusterRole", plural: "clusterroles",
			table: table.ClusterRole, cluster: true, name: segment}.row(),
		entry[rbacv1.ClusterRoleBinding]{gv: rbac, kind: "ClusterRoleBinding", plural: "clusterrolebindings",
			defaults: defaults.ClusterRoleBinding, validate: validate.ClusterRoleBinding, table: table.ClusterRoleBinding, cluster: true, name: segment}.row(),
		entry[schedulingv1.PriorityClass]{gv: schedulingv1.SchemeGroupVersion, kind: "PriorityClass", plural: "priorityclasses",
			defaults: defaults.PriorityClass, table: table.PriorityClass,
			short: []string{"pc"}, cluster: true}.row(),
		entry[storagev1.StorageClass]{gv: storagev1.SchemeGroupVersion, kind: "StorageClass", plural: "storageclasses",
			defaults: defaults.StorageClass, table: table.StorageClass,
			short: []string{"sc"}, cluster: true}.row(),
	}
}
