// Package install holds the manifests of the mesh's own parts: the namespace
// istio-system, the mesh's settings, the control plane and the ingress gateway,
// under the names that Istio gives them.
package install

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// Objects are the mesh's parts in the order in which they have to be made.
func Objects() ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(manifests, "manifests/*.yaml") // sorted
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		file, err := manifests.Open(name)
		if err != nil {
			return nil, err
		}
		found, err := Read(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// Read reads the objects of a manifest: YAML documents or JSON, empty ones left
// out, Lists taken apart.
func Read(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for n := 1; ; n++ {
		obj := &unstructured.Unstructured{}
		switch err := decoder.Decode(&obj.Object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", n, err)
		case len(obj.Object) == 0:
			continue
		case obj.GetKind() == "" || obj.GetAPIVersion() == "":
			return nil, fmt.Errorf("document %d: apiVersion and kind are required", n)
		case obj.IsList():
			if err := obj.EachListItem(func(item runtime.Object) error {
				objects = append(objects, item.(*unstructured.Unstructured))
				return nil
			}); err != nil {
				return nil, fmt.Errorf("document %d: %w", n, err)
			}
		default:
			objects = append(objects, obj)
		}
	}
}
