package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/lateenmesh/lateen/apiserver/crd"
	"github.com/lateenmesh/lateen/apiserver/store"
)

// installCRDs stores the configured definitions, leaving alone those that are
// there already as they should be, and serves all that are stored.
func (s *Server) installCRDs() error {
	k := s.catalog.Load().byGVR[definitions.WithVersion("v1")]
	for _, def := range s.cfg.CRDs {
		def = def.DeepCopy()
		crd.Complete(def)
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(def)
		if err != nil {
			return err
		}
		content["apiVersion"], content["kind"] = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
		r := &request{kind: k, version: "v1", resourcePath: resourcePath{name: def.Name}, user: admin()}
		if old, ok := s.store.Get(r.key()); ok {
			if reflect.DeepEqual(jsonForm(content["spec"]), old.Content()["spec"]) {
				continue
			}
			next := old.Copy()
			next["spec"], next["status"] = content["spec"], content["status"]
			if _, err := s.store.Update(old, next); err != nil {
				return err
			}
			continue
		}
		if err := s.prepareCreate(r, content); err != nil {
			return err
		}
		content["status"], _ = runtime.DefaultUnstructuredConverter.ToUnstructured(&def.Status)
		if _, err := s.store.Create(r.key(), content); err != nil {
			return err
		}
	}
	return s.refresh()
}

// jsonForm is v as it is after a trip through JSON.
func jsonForm(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if utiljson.Unmarshal(raw, &out) != nil {
		return v
	}
	return out
}

// installObjects stores the namespaces that every cluster has, and the service of the API itself.
func (s *Server) installObjects() error {
	for _, ns := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		if err := s.install(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", map[string]any{
			"metadata": map[string]any{"name": ns},
		}); err != nil {
			return err
		}
	}
	if !s.cfg.ServiceCIDR.IsValid() {
		return nil
	}
	return s.install(schema.GroupVersionResource{Version: "v1", Resource: "services"}, "default", map[string]any{
		"metadata": map[string]any{"name": "kubernetes", "labels": map[string]any{"component": "apiserver", "provider": "kubernetes"}},
		"spec": map[string]any{
			"type":      string(corev1.ServiceTypeClusterIP),
			"clusterIP": s.cfg.ServiceCIDR.Masked().Addr().Next().String(),
			"ports":     []any{map[string]any{"name": "https", "port": int64(443), "protocol": "TCP", "targetPort": int64(443)}},
		},
	})
}

// install creates an object unless it exists.
func (s *Server) install(gvr schema.GroupVersionResource, namespace string, obj map[string]any) error {
	k := s.catalog.Load().byGVR[gvr]
	obj["apiVersion"], obj["kind"] = gvr.GroupVersion().String(), k.Kind
	obj, _, err := k.Rules.Normalize(gvr.Version, obj, nil)
	if err != nil {
		return err
	}
	obj["apiVersion"], obj["kind"] = gvr.GroupVersion().String(), k.Kind
	r := &request{
		http: &http.Request{Method: http.MethodPost, Header: http.Header{}}, query: url.Values{}, user: admin(), kind: k, version: gvr.Version,
		resourcePath: resourcePath{gvr: gvr, namespace: namespace},
	}
	if name, _ := obj["metadata"].(map[string]any)["name"].(string); name != "" {
		if _, ok := s.store.Get(store.Key{Resource: gvr.GroupResource(), Namespace: namespace, Name: name}); ok {
			return nil
		}
	}
	if _, err := s.createObject(context.Background(), r, obj); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create %s: %w", r.key(), err)
	}
	return nil
}

// announce lets the API's own service lead to where Run listens.
func (s *Server) announce() error {
	if !s.cfg.ServiceCIDR.IsValid() {
		return nil
	}
	host, _, err := net.SplitHostPort(s.Address())
	if err != nil {
		return fmt.Errorf("announce the api: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	gvr := schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	endpoints := []any{map[string]any{"addresses": []any{host}, "conditions": map[string]any{"ready": true}}}
	ports := []any{map[string]any{"name": "https", "port": int64(s.port()), "protocol": "TCP"}}
	key := store.Key{Resource: gvr.GroupResource(), Namespace: "default", Name: "kubernetes"}
	if old, ok := s.store.Get(key); ok {
		next := old.Copy()
		next["endpoints"], next["ports"] = endpoints, ports
		_, err := s.store.Update(old, next)
		return err
	}
	return s.install(gvr, "default", map[string]any{
		"metadata":    map[string]any{"name": "kubernetes", "labels": map[string]any{"kubernetes.io/service-name": "kubernetes"}},
		"addressType": "IPv4", "endpoints": endpoints, "ports": ports,
	})
}
