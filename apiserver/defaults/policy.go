package defaults

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoleBinding completes a role binding.
func RoleBinding(b *rbacv1.RoleBinding) {
	fill(&b.RoleRef.APIGroup, rbacv1.GroupName)
	completeSubjects(b.Subjects)
}

// ClusterRoleBinding completes a cluster role binding.
func ClusterRoleBinding(b *rbacv1.ClusterRoleBinding) {
	fill(&b.RoleRef.APIGroup, rbacv1.GroupName)
	completeSubjects(b.Subjects)
}

func completeSubjects(subjects []rbacv1.Subject) {
	for i := range subjects {
		if k := subjects[i].Kind; k == rbacv1.UserKind || k == rbacv1.GroupKind {
			fill(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

// MutatingWebhooks completes a webhook configuration.
func MutatingWebhooks(c *admissionregistrationv1.MutatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		set(&w.FailurePolicy, admissionregistrationv1.Fail)
		set(&w.MatchPolicy, admissionregistrationv1.Equivalent)
		set(&w.ReinvocationPolicy, admissionregistrationv1.NeverReinvocationPolicy)
		set(&w.NamespaceSelector, metav1.LabelSelector{})
		set(&w.ObjectSelector, metav1.LabelSelector{})
		set(&w.TimeoutSeconds, 10)
		completeWebhook(&w.ClientConfig, w.Rules)
	}
}

// ValidatingWebhooks completes a webhook configuration.
func ValidatingWebhooks(c *admissionregistrationv1.ValidatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		set(&w.FailurePolicy, admissionregistrationv1.Fail)
		set(&w.MatchPolicy, admissionregistrationv1.Equivalent)
		set(&w.NamespaceSelector, metav1.LabelSelector{})
		set(&w.ObjectSelector, metav1.LabelSelector{})
		set(&w.TimeoutSeconds, 10)
		completeWebhook(&w.ClientConfig, w.Rules)
	}
}

func completeWebhook(c *admissionregistrationv1.WebhookClientConfig, rules []admissionregistrationv1.RuleWithOperations) {
	if c.Service != nil {
		set(&c.Service.Port, 443)
	}
	for i := range rules {
		set(&rules[i].Scope, admissionregistrationv1.AllScopes)
	}
}

// StorageClass completes a storage class.
func StorageClass(s *storagev1.StorageClass) {
	set(&s.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	set(&s.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}

// PriorityClass completes a priority class.
func PriorityClass(p *schedulingv1.PriorityClass) {
	set(&p.PreemptionPolicy, corev1.PreemptLowerPriority)
}
