package crd

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/lateenmesh/lateen/apiserver/fieldtree"
	"github.com/lateenmesh/lateen/apiserver/kind"
)

// rules are those of a custom resource: what its schemas say.
type rules struct {
	group    string
	kind     string
	storage  string
	versions map[string]*versionRules
	merge    func() managedfields.TypeConverter // made at the first apply
}

var _ kind.Rules = (*rules)(nil)

// versionRules are compiled in two steps, each at first use: the structure when an
// object is read or written, the expressions when one is checked.
type versionRules struct {
	structure func() (*structure, error)
	checks    func() (*checks, error)
}

type structure struct {
	internal   *apiextensions.JSONSchemaProps
	structural *structuralschema.Structural
	preserve   bool // unknown fields are kept
}

type checks struct {
	schema validation.SchemaValidator
	status validation.SchemaValidator // of the status alone, nil if it has no schema
	cel    *cel.Validator             // nil if there are no expressions
}

func (r *rules) add(k *kind.Kind, v *apiextensionsv1.CustomResourceDefinitionVersion) {
	vr := &versionRules{}
	vr.structure = sync.OnceValues(func() (*structure, error) {
		s, err := compileStructure(v)
		if err != nil {
			return nil, fmt.Errorf("compile schema of %s.%s %s: %w", k.Plural, k.Group, v.Name, err)
		}
		return s, nil
	})
	vr.checks = sync.OnceValues(func() (*checks, error) {
		s, err := vr.structure()
		if err != nil {
			return nil, err
		}
		c, err := compileChecks(s)
		if err != nil {
			return nil, fmt.Errorf("compile rules of %s.%s %s: %w", k.Plural, k.Group, v.Name, err)
		}
		return c, nil
	})
	r.versions[v.Name] = vr
}

func compileStructure(v *apiextensionsv1.CustomResourceDefinitionVersion) (*structure, error) {
	s := &structure{internal: &apiextensions.JSONSchemaProps{}}
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		s.preserve = true
		s.structural = &structuralschema.Structural{Generic: structuralschema.Generic{Type: "object"}}
		return s, nil
	}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, s.internal, nil); err != nil {
		return nil, err
	}
	var err error
	if s.structural, err = structuralschema.NewStructural(s.internal); err != nil {
		return nil, err
	}
	s.preserve = s.structural.XPreserveUnknownFields
	return s, nil
}

func compileChecks(s *structure) (*checks, error) {
	c := &checks{}
	var err error
	if c.schema, _, err = validation.NewSchemaValidator(s.internal); err != nil {
		return nil, err
	}
	if status, ok := s.internal.Properties["status"]; ok {
		if c.status, _, err = validation.NewSchemaValidator(&status); err != nil {
			return nil, err
		}
	}
	c.cel = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return c, nil
}

func (r *rules) version(name string) (*versionRules, error) {
	vr := r.versions[name]
	if vr == nil {
		return nil, fmt.Errorf("version %s of group %s has no definition", name, r.group)
	}
	return vr, nil
}

func (r *rules) New(string) runtime.Object { return nil }

func (r *rules) Normalize(version string, obj map[string]any, _ []byte) (map[string]any, []string, error) {
	vr, err := r.version(version)
	if err != nil {
		return nil, nil, err
	}
	s, err := vr.structure()
	if err != nil {
		return nil, nil, err
	}
	unknown, err := coerceMeta(obj)
	if err != nil {
		return nil, nil, err
	}
	if ferr, paths := objectmeta.CoerceWithOptions(nil, obj, s.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true}); ferr != nil {
		return nil, nil, ferr
	} else {
		unknown = append(unknown, paths...)
	}
	if !s.preserve {
		opts := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
		unknown = append(unknown, pruning.PruneWithOptions(obj, s.structural, true, opts)...)
	}
	problems := make([]string, len(unknown))
	for i, path := range unknown {
		problems[i] = fmt.Sprintf("unknown field %q", path)
	}
	return obj, problems, nil
}

// coerceMeta brings metadata into its Go form and back, which drops what it does not have.
func coerceMeta(obj map[string]any) ([]string, error) {
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(obj, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil || !found {
		if !found {
			obj["metadata"] = map[string]any{}
		}
		return unknown, err
	}
	return unknown, objectmeta.SetObjectMeta(obj, meta)
}

func (r *rules) Default(obj map[string]any) (map[string]any, error) {
	vr, err := r.version(r.storage)
	if err != nil {
		return nil, err
	}
	s, err := vr.structure()
	if err != nil {
		return nil, err
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, s.structural)
	defaulting.Default(obj, s.structural)
	return obj, nil
}

func (r *rules) Validate(ctx context.Context, obj, old map[string]any, subresource string) field.ErrorList {
	vr, err := r.version(r.storage)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	s, err := vr.structure()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	c, err := vr.checks()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	if subresource == "status" && c.status == nil {
		return nil
	}
	errs := validation.ValidateCustomResource(nil, obj, c.schema)
	errs = append(errs, objectmeta.Validate(ctx, nil, obj, s.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, obj)...)
	if c.cel == nil {
		return errs
	}
	if blocking(errs) {
		return append(errs, field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"))
	}
	var was any // a nil map would not be a nil interface
	if old != nil {
		was = old
	}
	celErrs, _ := c.cel.Validate(ctx, nil, s.structural, obj, was, celconfig.RuntimeCELCostBudget)
	return append(errs, celErrs...)
}

// blocking reports whether expressions cannot be judged for wrong types or missing fields.
func blocking(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

func (r *rules) Fields(version string) fieldtree.Node {
	vr, err := r.version(version)
	if err != nil {
		return nil
	}
	s, err := vr.structure()
	if err != nil {
		return nil
	}
	return root{node{s.structural}}
}

// TypeConverter follows the schemas. If they cannot be followed it deduces the merge
// rules from the objects: maps merge, lists are replaced whole.
func (r *rules) TypeConverter() managedfields.TypeConverter { return r.merge() }
