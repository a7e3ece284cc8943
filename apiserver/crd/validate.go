package crd

import (
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate checks a definition that a user has posted: whether it can be served.
func Validate(crd, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList {
	spec := field.NewPath("spec")
	names := crd.Spec.Names
	var errs field.ErrorList
	require := func(path *field.Path, value string) {
		if value == "" {
			errs = append(errs, field.Required(path, ""))
		}
	}
	require(spec.Child("group"), crd.Spec.Group)
	require(spec.Child("scope"), string(crd.Spec.Scope))
	require(spec.Child("names", "plural"), names.Plural)
	require(spec.Child("names", "kind"), names.Kind)
	if want := names.Plural + "." + crd.Spec.Group; crd.Name != want {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), crd.Name, "must be spec.names.plural+\".\"+spec.group"))
	}
	switch crd.Spec.Scope {
	case "", apiextensionsv1.NamespaceScoped, apiextensionsv1.ClusterScoped:
	default:
		errs = append(errs, field.NotSupported(spec.Child("scope"), crd.Spec.Scope,
			[]apiextensionsv1.ResourceScope{apiextensionsv1.ClusterScoped, apiextensionsv1.NamespaceScoped}))
	}
	if c := crd.Spec.Conversion; c != nil && c.Strategy != "" && c.Strategy != apiextensionsv1.NoneConverter {
		errs = append(errs, field.NotSupported(spec.Child("conversion", "strategy"), c.Strategy,
			[]apiextensionsv1.ConversionStrategyType{apiextensionsv1.NoneConverter}))
	}
	errs = append(errs, validateVersions(crd, spec.Child("versions"))...)
	if old != nil && old.Spec.Scope != crd.Spec.Scope {
		errs = append(errs, field.Invalid(spec.Child("scope"), crd.Spec.Scope, "field is immutable"))
	}
	return errs
}

func validateVersions(crd *apiextensionsv1.CustomResourceDefinition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	stored := 0
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		at := path.Index(i)
		if seen.Has(v.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
		}
		seen.Insert(v.Name)
		if v.Storage {
			stored++
		}
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			errs = append(errs, field.Required(at.Child("schema", "openAPIV3Schema"), "schemas are required"))
			continue
		}
		if _, err := columns(v.AdditionalPrinterColumns); err != nil {
			errs = append(errs, field.Invalid(at.Child("additionalPrinterColumns"), "", err.Error()))
		}
		errs = append(errs, validateSchema(v, at.Child("schema", "openAPIV3Schema"))...)
	}
	if stored != 1 {
		errs = append(errs, field.Invalid(path, fmt.Sprintf("%d storage versions", stored), "must have exactly one version marked as storage version"))
	}
	return errs
}

func validateSchema(v *apiextensionsv1.CustomResourceDefinitionVersion, path *field.Path) field.ErrorList {
	s, err := compileStructure(v)
	if err != nil {
		return field.ErrorList{field.Invalid(path, "", err.Error())}
	}
	errs := structuralschema.ValidateStructural(path, s.structural)
	if s.structural.Type != "object" {
		errs = append(errs, field.Invalid(path.Child("type"), s.structural.Type, "must be object"))
	}
	if len(errs) > 0 {
		return errs
	}
	if _, err := compileChecks(s); err != nil {
		return field.ErrorList{field.Invalid(path, "", err.Error())}
	}
	return nil
}
