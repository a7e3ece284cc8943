// Package validate refuses objects of built-in kinds that nobody could act on,
// in Kubernetes' words: what is missing, out of range, or may not change.
// It covers the mistakes that people make, not every rule of Kubernetes.
package validate

import (
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const immutable = "field is immutable"

// unchanged refuses a change of a field that was set for good.
func unchanged[T any](now, was T, path *field.Path) field.ErrorList {
	if apiequality.Semantic.DeepEqual(now, was) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, now, immutable)}
}

// required refuses an empty text.
func required(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return nil
}

// oneOf refuses a value that is not among those allowed.
func oneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	for _, a := range allowed {
		if a == value {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// atLeast refuses numbers below a limit.
func atLeast[T ~int32 | ~int64](value *T, least T, path *field.Path) field.ErrorList {
	if value == nil || *value >= least {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value, fmt.Sprintf("must be greater than or equal to %d", least))}
}

// port refuses numbers that are no port.
func port(p int32, path *field.Path) field.ErrorList {
	return wrong(p, validation.IsValidPortNum(int(p)), path)
}

// wrong makes an error of each complaint about a value.
func wrong[T any](value T, complaints []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, c := range complaints {
		errs = append(errs, field.Invalid(path, value, c))
	}
	return errs
}

// selects checks a workload's selector and that its own template matches it.
func selects(s *metav1.LabelSelector, template map[string]string, spec *field.Path) field.ErrorList {
	path := spec.Child("selector")
	if s == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	errs := metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, path)
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(path, s, "empty selector is invalid for deployment"))
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return append(errs, field.Invalid(path, s, "invalid label selector"))
	}
	if !selector.Empty() && !selector.Matches(labels.Set(template)) {
		errs = append(errs, field.Invalid(spec.Child("template", "metadata", "labels"), template, "`selector` does not match template `labels`"))
	}
	return errs
}

// dataKeys checks the keys of config maps and secrets.
func dataKeys[V any](data map[string]V, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key := range data {
		errs = append(errs, wrong(key, validation.IsConfigMapKey(key), path.Key(key))...)
	}
	return errs
}
