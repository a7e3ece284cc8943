package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/lateenmesh/lateen/install"
)

// readManifests reads the objects of files and folders, in the order given and
// by name within a folder.
func readManifests(paths []string, recursive bool) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		files, err := manifestFiles(path, recursive)
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			file, err := os.Open(name)
			if err != nil {
				return nil, err
			}
			found, err := install.Read(file)
			file.Close()
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			objects = append(objects, found...)
		}
	}
	return objects, nil
}

func manifestFiles(path string, recursive bool) ([]string, error) {
	stat, err := os.Stat(path)
	if err != nil || !stat.IsDir() {
		return []string{path}, err
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != path && !recursive:
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
			files = append(files, file)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no *.yaml, *.yml or *.json file", path)
	}
	return files, err
}

// setup brings a fresh home to where the user wants it.
type setup struct {
	report  io.Writer
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	mapper  meta.ResettableRESTMapper
}

func newSetup(config *rest.Config, report io.Writer) (*setup, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, -1
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery()))
	return &setup{report: report, kube: kube, dynamic: dyn, mapper: mapper}, nil
}

// run applies the mesh's own objects and the user's, and waits until all
// Deployments among them are available.
func (s *setup) run(ctx context.Context, objects []*unstructured.Unstructured, inject bool) error {
	mesh, err := install.Objects()
	if err != nil {
		return err
	}
	for _, o := range mesh {
		if err := s.apply(ctx, o); err != nil {
			return err
		}
	}
	if inject {
		if err := s.injectDefault(ctx); err != nil {
			return err
		}
	}
	// What declares names comes before what uses them.
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	for _, o := range objects {
		if err := s.apply(ctx, o); err != nil {
			return err
		}
	}
	return s.wait(ctx, append(mesh, objects...))
}

func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	case "ServiceAccount", "ConfigMap", "Secret", "Service":
		return 2
	}
	return 3
}

// injectDefault turns injection on in the namespace default, unless somebody
// has said something about it.
func (s *setup) injectDefault(ctx context.Context) error {
	ns, err := s.kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read namespace default: %w", err)
	}
	if _, said := ns.Labels["istio-injection"]; said {
		return nil
	}
	patch := []byte(`{"metadata":{"labels":{"istio-injection":"enabled"}}}`)
	_, err = s.kube.CoreV1().Namespaces().Patch(ctx, metav1.NamespaceDefault, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("label namespace default: %w", err)
	}
	return nil
}

// apply creates the object, or changes the existing one to what it says.
func (s *setup) apply(ctx context.Context, o *unstructured.Unstructured) error {
	name := strings.ToLower(o.GetKind()) + "/" + o.GetName()
	gvk := o.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		s.mapper.Reset()
		mapping, err = s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return fmt.Errorf("apply %s: %w", name, err)
	}
	resource := dynamic.ResourceInterface(s.dynamic.Resource(mapping.Resource))
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if o.GetNamespace() == "" {
			o.SetNamespace(metav1.NamespaceDefault)
		}
		resource = s.dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace())
	}
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("apply %s: %w", name, err)
	}
	force := true
	_, err = resource.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "lateen", Force: &force, FieldValidation: "Strict"})
	if err != nil {
		return fmt.Errorf("apply %s: %w", name, err)
	}
	return nil
}

// wait returns when the Deployments among objects are available.
func (s *setup) wait(ctx context.Context, objects []*unstructured.Unstructured) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	told := time.Now()
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		for {
			d, err := s.kube.AppsV1().Deployments(o.GetNamespace()).Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("wait for deployment/%s: %w", o.GetName(), err)
			}
			want := int32(1)
			if d.Spec.Replicas != nil {
				want = *d.Spec.Replicas
			}
			if d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= want {
				break
			}
			if time.Since(told) > 10*time.Second {
				told = time.Now()
				fmt.Fprintf(s.report, "waiting for deployment/%s in %s%s\n", o.GetName(), o.GetNamespace(), s.why(ctx, o))
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// why gives the newest warning about a Deployment's pods.
func (s *setup) why(ctx context.Context, o *unstructured.Unstructured) string {
	events, err := s.kube.CoreV1().Events(o.GetNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	newest := ""
	for _, e := range events.Items {
		if e.Type == corev1.EventTypeWarning && strings.HasPrefix(e.InvolvedObject.Name, o.GetName()) {
			newest = ": " + e.Message
		}
	}
	return newest
}

// printNextSteps says where everything is and what to try.
func (s *setup) printNextSteps(ctx context.Context, dir string) {
	fmt.Fprintln(s.report, "The mesh is up.")
	if svc, err := s.kube.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{}); err == nil {
		for _, p := range svc.Spec.Ports {
			if p.Name == "http2" {
				fmt.Fprintf(s.report, "  gateway       http://127.0.0.1:%d\n", p.NodePort)
				if _, err := s.kube.AppsV1().Deployments("default").Get(ctx, "productpage-v1", metav1.GetOptions{}); err == nil {
					fmt.Fprintf(s.report, "  product page  http://127.0.0.1:%d/productpage\n", p.NodePort)
				}
			}
		}
	}
	fmt.Fprintf(s.report, `
Try:
  export KUBECONFIG=%s
  kubectl get pods        (or: lateen get pods)
  kubectl apply -f samples/bookinfo/rules/destination-rule-reviews.yaml -f samples/bookinfo/rules/reviews-jason-v2.yaml
                          then sign in as jason on the product page: black stars
  lateen down             stops it
%s
`, kubeconfigIn(dir), readyLine)
}
