package validate

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const frozen = "field is immutable when `immutable` is set"

// ConfigMap checks a config map. An immutable one keeps its data.
func ConfigMap(c, old *corev1.ConfigMap) field.ErrorList {
	data, binary := field.NewPath("data"), field.NewPath("binaryData")
	errs := dataKeys(c.Data, data)
	errs = append(errs, dataKeys(c.BinaryData, binary)...)
	for key := range c.BinaryData {
		if _, twice := c.Data[key]; twice {
			errs = append(errs, field.Invalid(data.Key(key), key, "duplicate of key present in binaryData"))
		}
	}
	if old == nil || !deref(old.Immutable) {
		return errs
	}
	if !deref(c.Immutable) {
		errs = append(errs, field.Forbidden(field.NewPath("immutable"), frozen))
	}
	if !apiequality.Semantic.DeepEqual(c.Data, old.Data) {
		errs = append(errs, field.Forbidden(data, frozen))
	}
	if !apiequality.Semantic.DeepEqual(c.BinaryData, old.BinaryData) {
		errs = append(errs, field.Forbidden(binary, frozen))
	}
	return errs
}

// Secret checks a secret. Its type may not change, and an immutable one keeps its data.
func Secret(s, old *corev1.Secret) field.ErrorList {
	data := field.NewPath("data")
	errs := dataKeys(s.Data, data)
	switch s.Type {
	case corev1.SecretTypeTLS:
		for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(data.Key(key), ""))
			}
		}
	case corev1.SecretTypeDockerConfigJson:
		if _, ok := s.Data[corev1.DockerConfigJsonKey]; !ok {
			errs = append(errs, field.Required(data.Key(corev1.DockerConfigJsonKey), ""))
		}
	}
	if old == nil {
		return errs
	}
	errs = append(errs, unchanged(s.Type, old.Type, field.NewPath("type"))...)
	if deref(old.Immutable) {
		if !deref(s.Immutable) {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), frozen))
		}
		if !apiequality.Semantic.DeepEqual(s.Data, old.Data) {
			errs = append(errs, field.Forbidden(data, frozen))
		}
	}
	return errs
}

// Event checks that an event is about an object of its own namespace.
func Event(e, _ *corev1.Event) field.ErrorList {
	in := e.InvolvedObject.Namespace
	if in == e.Namespace || in == "" && e.Namespace == "default" {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("involvedObject", "namespace"), in, "does not match event.namespace")}
}

// PodDisruptionBudget checks a disruption budget.
func PodDisruptionBudget(p, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	if p.Spec.MinAvailable != nil && p.Spec.MaxUnavailable != nil {
		return field.ErrorList{field.Invalid(spec, p.Spec, "minAvailable and maxUnavailable cannot be both set")}
	}
	return nil
}

// RoleBinding checks a role binding. Its role may not change.
func RoleBinding(b, old *rbacv1.RoleBinding) field.ErrorList {
	errs := roleRef(b.RoleRef)
	if old != nil && b.RoleRef != old.RoleRef {
		errs = append(errs, field.Invalid(field.NewPath("roleRef"), b.RoleRef, "cannot change roleRef"))
	}
	return errs
}

// ClusterRoleBinding checks a cluster role binding. Its role may not change.
func ClusterRoleBinding(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	errs := roleRef(b.RoleRef)
	if old != nil && b.RoleRef != old.RoleRef {
		errs = append(errs, field.Invalid(field.NewPath("roleRef"), b.RoleRef, "cannot change roleRef"))
	}
	return errs
}

func roleRef(r rbacv1.RoleRef) field.ErrorList {
	path := field.NewPath("roleRef")
	return append(required(r.Name, path.Child("name")), oneOf(r.Kind, path.Child("kind"), "ClusterRole", "Role")...)
}
