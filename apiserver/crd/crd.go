// Package crd makes a served kind of a custom resource definition: its names and
// columns at once, its schema when the first object is written.
package crd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

// Kind is the row of the table that a definition adds. All its versions are views
// of one storage that differ in apiVersion only.
func Kind(crd *apiextensionsv1.CustomResourceDefinition) (*kind.Kind, error) {
	spec := &crd.Spec
	if c := spec.Conversion; c != nil && c.Strategy == apiextensionsv1.WebhookConverter {
		return nil, fmt.Errorf("serve %s: conversion by webhook is not supported: use strategy None", crd.Name)
	}
	k := &kind.Kind{
		Group: spec.Group, Kind: spec.Names.Kind, Plural: spec.Names.Plural,
		Singular:   cmp.Or(spec.Names.Singular, strings.ToLower(spec.Names.Kind)),
		ShortNames: spec.Names.ShortNames, Categories: spec.Names.Categories,
		Namespaced: spec.Scope == apiextensionsv1.NamespaceScoped, Generation: true,
	}
	rules := &rules{group: spec.Group, kind: spec.Names.Kind, versions: map[string]*versionRules{}}
	rules.merge = sync.OnceValue(func() managedfields.TypeConverter {
		c, err := rules.converter()
		if err != nil {
			return managedfields.NewDeducedTypeConverter()
		}
		return c
	})
	tables := map[string]kind.Table{}
	for i := range spec.Versions {
		v := &spec.Versions[i]
		if v.Storage {
			k.Storage = v.Name
			subresources(k, v)
			k.Fields = selectable(v.SelectableFields)
		}
		rules.add(k, v)
		if v.Served {
			k.Versions = append(k.Versions, v.Name)
			t, err := columns(v.AdditionalPrinterColumns)
			if err != nil {
				return nil, fmt.Errorf("serve %s: version %s: %w", crd.Name, v.Name, err)
			}
			tables[v.Name] = t
		}
	}
	if k.Storage == "" {
		return nil, fmt.Errorf("serve %s: no version has storage: true", crd.Name)
	}
	slices.SortStableFunc(k.Versions, func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
	k.TableIn = func(v string) kind.Table { return tables[v] }
	rules.storage = k.Storage
	k.Rules = rules
	return k, nil
}

func subresources(k *kind.Kind, v *apiextensionsv1.CustomResourceDefinitionVersion) {
	if v.Subresources == nil {
		return
	}
	k.Status = v.Subresources.Status != nil
	if s := v.Subresources.Scale; s != nil {
		k.Scale = &kind.Scale{SpecReplicas: dotted(s.SpecReplicasPath), StatusReplicas: dotted(s.StatusReplicasPath)}
		if s.LabelSelectorPath != nil {
			k.Scale.Selector = dotted(*s.LabelSelectorPath)
		}
	}
}

func dotted(jsonPath string) string { return strings.TrimPrefix(jsonPath, ".") }

// selectable makes the field labels that a definition allows to select by.
func selectable(list []apiextensionsv1.SelectableField) func(map[string]any) map[string]string {
	if len(list) == 0 {
		return nil
	}
	paths := make([]string, len(list))
	for i, f := range list {
		paths[i] = dotted(f.JSONPath)
	}
	return kind.Labels(paths...)
}

// Complete fills what a definition leaves to the system, before it is stored:
// names that follow from others, and the conditions that say it is served.
func Complete(crd *apiextensionsv1.CustomResourceDefinition) {
	names := &crd.Spec.Names
	names.Singular = cmp.Or(names.Singular, strings.ToLower(names.Kind))
	names.ListKind = cmp.Or(names.ListKind, names.Kind+"List")
	if crd.Spec.Conversion == nil {
		crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	}
	crd.Status.AcceptedNames = *names.DeepCopy()
	for _, v := range crd.Spec.Versions {
		if v.Storage && !slices.Contains(crd.Status.StoredVersions, v.Name) {
			crd.Status.StoredVersions = append(crd.Status.StoredVersions, v.Name)
		}
	}
	established(crd, apiextensionsv1.NamesAccepted, "NoConflicts", "no conflicts found")
	established(crd, apiextensionsv1.Established, "InitialNamesAccepted", "the initial names have been accepted")
}

func established(crd *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType, reason, message string) {
	for _, c := range crd.Status.Conditions {
		if c.Type == t && c.Status == apiextensionsv1.ConditionTrue {
			return
		}
	}
	crd.Status.Conditions = append(crd.Status.Conditions, apiextensionsv1.CustomResourceDefinitionCondition{
		Type: t, Status: apiextensionsv1.ConditionTrue, LastTransitionTime: metav1.NewTime(metav1.Now().Rfc3339Copy().Time), Reason: reason, Message: message,
	})
}

// GroupResource names the resource that a definition defines.
func GroupResource(crd *apiextensionsv1.CustomResourceDefinition) schema.GroupResource {
	return schema.GroupResource{Group: crd.Spec.Group, Resource: crd.Spec.Names.Plural}
}
