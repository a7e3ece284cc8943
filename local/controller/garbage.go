package controller

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// collected are the kinds whose owners and dependents are followed: those that
// the controllers here make, and what owns them.
var collected = []schema.GroupVersionResource{
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "services"},
	{Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
}

// byOwner finds objects by the UIDs of their owners.
const byOwner = "owner"

// addGarbage deletes what has lost its owner, and holds owners back that are to
// go after their dependents, or without them.
func (s *Set) addGarbage() {
	stores := map[string]cache.Indexer{}
	l := s.newLoop("garbage", func(ctx context.Context, key string) error { return s.collect(ctx, stores, key) })
	for _, gvr := range collected {
		generic, err := s.informers.ForResource(gvr)
		if err != nil {
			panic(err) // the list above is of kinds that client-go knows
		}
		informer := generic.Informer()
		_ = informer.AddIndexers(cache.Indexers{byOwner: func(obj any) ([]string, error) {
			var uids []string
			for _, ref := range obj.(metav1.Object).GetOwnerReferences() {
				uids = append(uids, string(ref.UID))
			}
			return uids, nil
		}})
		stores[gvr.Resource] = informer.GetIndexer()
		watch(informer, func(o metav1.Object) {
			l.queue.Add(gvr.Resource + "|" + keyOf(o))
			// Its dependents may have lost it, its owner may be waiting for it.
			for resource, store := range stores {
				for _, dependent := range mustIndex(store, string(o.GetUID())) {
					l.queue.Add(resource + "|" + keyOf(dependent))
				}
			}
			for _, ref := range o.GetOwnerReferences() {
				l.queue.Add(strings.ToLower(ref.Kind) + "s|" + o.GetNamespace() + "/" + ref.Name)
			}
		})
	}
}

func mustIndex(store cache.Indexer, uid string) []metav1.Object {
	found, _ := store.ByIndex(byOwner, uid)
	objects := make([]metav1.Object, len(found))
	for i := range found {
		objects[i] = found[i].(metav1.Object)
	}
	return objects
}

func resourceOf(name string) (schema.GroupVersionResource, bool) {
	i := slices.IndexFunc(collected, func(r schema.GroupVersionResource) bool { return r.Resource == name })
	if i < 0 {
		return schema.GroupVersionResource{}, false
	}
	return collected[i], true
}

// collect looks at one object: is its owner gone, is it waiting to be deleted?
func (s *Set) collect(ctx context.Context, stores map[string]cache.Indexer, key string) error {
	resource, name, _ := strings.Cut(key, "|")
	gvr, ok := resourceOf(resource)
	if !ok {
		return nil
	}
	obj, found, _ := stores[resource].GetByKey(name)
	if !found {
		return nil
	}
	o := obj.(metav1.Object)
	if o.GetDeletionTimestamp() != nil {
		return s.release(ctx, stores, gvr, o)
	}
	for _, ref := range o.GetOwnerReferences() {
		if alive(stores, o.GetNamespace(), ref) {
			return nil
		}
	}
	if len(o.GetOwnerReferences()) == 0 {
		return nil
	}
	uid := o.GetUID()
	err := s.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid}})
	return gone(err)
}

// alive reports whether an owner is there. Owners of kinds that are not followed
// count as there.
func alive(stores map[string]cache.Indexer, namespace string, ref metav1.OwnerReference) bool {
	store := stores[strings.ToLower(ref.Kind)+"s"]
	if store == nil {
		return true
	}
	owner, found, _ := store.GetByKey(namespace + "/" + ref.Name)
	return found && owner.(metav1.Object).GetUID() == ref.UID
}

// release removes the finalizers of propagation once what they stand for is done.
func (s *Set) release(ctx context.Context, stores map[string]cache.Indexer, gvr schema.GroupVersionResource, o metav1.Object) error {
	finalizers := o.GetFinalizers()
	orphan := slices.Contains(finalizers, metav1.FinalizerOrphanDependents)
	if !orphan && !slices.Contains(finalizers, metav1.FinalizerDeleteDependents) {
		return nil
	}
	waiting := false
	for resource, store := range stores {
		target, _ := resourceOf(resource)
		for _, dependent := range mustIndex(store, string(o.GetUID())) {
			if err := s.part(ctx, target, dependent, o, orphan); gone(err) != nil {
				return err
			}
			waiting = waiting || !orphan
		}
	}
	if waiting {
		return nil // the end of each dependent calls again
	}
	kept := slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	return gone(s.patch(ctx, gvr, o, map[string]any{"finalizers": kept}))
}

// part frees a dependent from its owner, or deletes it.
func (s *Set) part(ctx context.Context, gvr schema.GroupVersionResource, dependent, owner metav1.Object, orphan bool) error {
	if orphan {
		refs := slices.DeleteFunc(slices.Clone(dependent.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == owner.GetUID() })
		return s.patch(ctx, gvr, dependent, map[string]any{"ownerReferences": refs})
	}
	if dependent.GetDeletionTimestamp() != nil {
		return nil
	}
	foreground := metav1.DeletePropagationForeground
	return s.Dynamic.Resource(gvr).Namespace(dependent.GetNamespace()).Delete(ctx, dependent.GetName(), metav1.DeleteOptions{PropagationPolicy: &foreground})
}

func (s *Set) patch(ctx context.Context, gvr schema.GroupVersionResource, o metav1.Object, metadata map[string]any) error {
	metadata["uid"] = o.GetUID()
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	_, err = s.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), types.MergePatchType, body, metav1.PatchOptions{})
	return err
}
