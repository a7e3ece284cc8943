package apiserver_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/lateenmesh/lateen/apiserver"
)

// Two managers can each own an element of a list that the schema keys.
func TestApplyMergesKeyedLists(t *testing.T) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(`
metadata: {name: doors.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: doors, kind: Door}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              tags: {type: array, items: {type: string}}
              locks:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, turns: {type: integer}}}
`), &crd); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(c *apiserver.Config) { c.CRDs = []*apiextensionsv1.CustomResourceDefinition{&crd} })
	c, err := dynamic.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	doors := c.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "doors"}).Namespace("default")
	apply := func(manager string, spec map[string]any) *unstructured.Unstructured {
		t.Helper()
		door := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Door",
			"metadata": map[string]any{"name": "front"}, "spec": spec}}
		got, err := doors.Apply(context.Background(), "front", door, metav1.ApplyOptions{FieldManager: manager})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	lock := func(name string, turns int64) map[string]any { return map[string]any{"name": name, "turns": turns} }
	apply("one", map[string]any{"locks": []any{lock("top", 1)}, "tags": []any{"red"}})
	got := apply("two", map[string]any{"locks": []any{lock("bottom", 2)}})
	want := map[string]any{"locks": []any{lock("top", 1), lock("bottom", 2)}, "tags": []any{"red"}}
	if diff := cmp.Diff(got.Object["spec"], any(want)); diff != "" {
		t.Errorf("(-got +want)\n%s", diff)
	}
	got = apply("one", map[string]any{})
	if diff := cmp.Diff(got.Object["spec"], any(map[string]any{"locks": []any{lock("bottom", 2)}})); diff != "" {
		t.Errorf("after one has left (-got +want)\n%s", diff)
	}
}

// A typed apply creates, keeps out of others' fields, and tells the owner of a conflict.
func TestApplyTyped(t *testing.T) {
	s := newServer(t, nil)
	ctx := context.Background()
	deployments := clientset(t, s).AppsV1().Deployments("default")
	labels := map[string]string{"app": "web"}
	want := func() *appsapply.DeploymentApplyConfiguration {
		return appsapply.Deployment("web", "default").WithSpec(appsapply.DeploymentSpec().
			WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).
				WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("main").WithImage("main:1")))))
	}
	d, err := deployments.Apply(ctx, want(), metav1.ApplyOptions{FieldManager: "owner"})
	if err != nil || *d.Spec.Replicas != 1 {
		t.Fatalf("got %+v, %v", d, err)
	}
	five := int32(5)
	d.Spec.Replicas = &five
	if d, err = deployments.Update(ctx, d, metav1.UpdateOptions{FieldManager: "autoscaler"}); err != nil {
		t.Fatal(err)
	}
	if d, err = deployments.Apply(ctx, want(), metav1.ApplyOptions{FieldManager: "owner"}); err != nil || *d.Spec.Replicas != 5 {
		t.Errorf("got %d replicas, %v; want the autoscaler's 5", *d.Spec.Replicas, err)
	}
	greedy := want()
	greedy.Spec.WithReplicas(1)
	if _, err := deployments.Apply(ctx, greedy, metav1.ApplyOptions{FieldManager: "owner"}); !apierrors.IsConflict(err) {
		t.Errorf("got %v, want a conflict with the autoscaler", err)
	}
	was := d.ResourceVersion
	if d, err = deployments.Apply(ctx, want(), metav1.ApplyOptions{FieldManager: "owner"}); err != nil || d.ResourceVersion != was {
		t.Errorf("same again: got revision %s, %v; want %s", d.ResourceVersion, err, was)
	}
}
