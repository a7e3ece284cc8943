package table

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Kinds that show their date of birth instead of their age.
var (
	Role = Printer[rbacv1.Role]{Columns: columns("Name", "Created At"),
		Row: func(r *rbacv1.Role) []any { return []any{r.Name, born(r.CreationTimestamp)} }}
	ClusterRole = Printer[rbacv1.ClusterRole]{Columns: columns("Name", "Created At"),
		Row: func(r *rbacv1.ClusterRole) []any { return []any{r.Name, born(r.CreationTimestamp)} }}
	CustomResourceDefinition = Printer[apiextensionsv1.CustomResourceDefinition]{Columns: columns("Name", "Created At"),
		Row: func(c *apiextensionsv1.CustomResourceDefinition) []any {
			return []any{c.Name, born(c.CreationTimestamp)}
		}}
)

// RoleBinding prints role bindings.
var RoleBinding = Printer[rbacv1.RoleBinding]{
	Columns: columns("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"),
	Row: func(b *rbacv1.RoleBinding) []any {
		return append([]any{b.Name, b.RoleRef.Kind + "/" + b.RoleRef.Name, Age(b.CreationTimestamp)}, subjects(b.Subjects)...)
	},
}

// ClusterRoleBinding prints cluster role bindings.
var ClusterRoleBinding = Printer[rbacv1.ClusterRoleBinding]{
	Columns: columns("Name", "Role", "Age", "+Users", "+Groups", "+ServiceAccounts"),
	Row: func(b *rbacv1.ClusterRoleBinding) []any {
		return append([]any{b.Name, b.RoleRef.Kind + "/" + b.RoleRef.Name, Age(b.CreationTimestamp)}, subjects(b.Subjects)...)
	},
}

func subjects(list []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range list {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []any{strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", ")}
}

// PodDisruptionBudget prints disruption budgets.
var PodDisruptionBudget = Printer[policyv1.PodDisruptionBudget]{
	Columns: columns("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"),
	Row: func(p *policyv1.PodDisruptionBudget) []any {
		least, most := "N/A", "N/A"
		if p.Spec.MinAvailable != nil {
			least = p.Spec.MinAvailable.String()
		}
		if p.Spec.MaxUnavailable != nil {
			most = p.Spec.MaxUnavailable.String()
		}
		return []any{p.Name, least, most, int64(p.Status.DisruptionsAllowed), Age(p.CreationTimestamp)}
	},
}

// Lease prints leases.
var Lease = Printer[coordinationv1.Lease]{
	Columns: columns("Name", "Holder", "Age"),
	Row: func(l *coordinationv1.Lease) []any {
		return []any{l.Name, deref(l.Spec.HolderIdentity, ""), Age(l.CreationTimestamp)}
	},
}

// MutatingWebhooks prints mutating webhook configurations.
var MutatingWebhooks = Printer[admissionregistrationv1.MutatingWebhookConfiguration]{
	Columns: columns("Name", "Webhooks", "Age"),
	Row: func(c *admissionregistrationv1.MutatingWebhookConfiguration) []any {
		return []any{c.Name, int64(len(c.Webhooks)), Age(c.CreationTimestamp)}
	},
}

// ValidatingWebhooks prints validating webhook configurations.
var ValidatingWebhooks = Printer[admissionregistrationv1.ValidatingWebhookConfiguration]{
	Columns: columns("Name", "Webhooks", "Age"),
	Row: func(c *admissionregistrationv1.ValidatingWebhookConfiguration) []any {
		return []any{c.Name, int64(len(c.Webhooks)), Age(c.CreationTimestamp)}
	},
}

// PriorityClass prints priority classes.
var PriorityClass = Printer[schedulingv1.PriorityClass]{
	Columns: columns("Name", "Value", "Global-Default", "Age", "PreemptionPolicy"),
	Row: func(p *schedulingv1.PriorityClass) []any {
		return []any{p.Name, int64(p.Value), p.GlobalDefault, Age(p.CreationTimestamp), string(deref(p.PreemptionPolicy, ""))}
	},
}

// StorageClass prints storage classes.
var StorageClass = Printer[storagev1.StorageClass]{
	Columns: columns("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"),
	Row: func(s *storagev1.StorageClass) []any {
		name := s.Name
		if s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			name += " (default)"
		}
		return []any{name, s.Provisioner, string(deref(s.ReclaimPolicy, "Delete")), string(deref(s.VolumeBindingMode, "Immediate")),
			deref(s.AllowVolumeExpansion, false), Age(s.CreationTimestamp)}
	},
}
