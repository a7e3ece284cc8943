package apiserver

import (
	"reflect"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

var namespaces = schema.GroupResource{Resource: "namespaces"}

// metaErrors checks what all kinds have in common.
func metaErrors(k *kind.Kind, acc metav1.Object, path *field.Path) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(acc, k.Namespaced, apivalidation.ValidateNameFunc(k.CheckName), path)
}

// keepMeta restores on an update what only the system may change.
func keepMeta(obj, old map[string]any) {
	u, was := unstructured.Unstructured{Object: obj}, unstructured.Unstructured{Object: old}
	u.SetUID(was.GetUID())
	u.SetCreationTimestamp(was.GetCreationTimestamp())
	u.SetDeletionTimestamp(was.GetDeletionTimestamp())
	u.SetDeletionGracePeriodSeconds(was.GetDeletionGracePeriodSeconds())
	u.SetGenerateName(was.GetGenerateName())
	u.SetSelfLink("")
	u.SetResourceVersion(was.GetResourceVersion())
	if was.GetGeneration() != 0 {
		u.SetGeneration(was.GetGeneration())
	} else {
		unstructured.RemoveNestedField(obj, "metadata", "generation")
	}
}

// specChanged reports whether more than metadata and status differ.
func specChanged(obj, old map[string]any) bool {
	for key := range obj {
		if !isOutsideSpec(key) && !reflect.DeepEqual(obj[key], old[key]) {
			return true
		}
	}
	for key := range old {
		if _, ok := obj[key]; !ok && !isOutsideSpec(key) {
			return true
		}
	}
	return false
}

func isOutsideSpec(key string) bool {
	return key == "metadata" || key == "status" || key == "apiVersion" || key == "kind"
}
