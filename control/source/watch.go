package source

import (
	"context"
	"fmt"
	"log/slog"

	istioapi "istio.io/client-go/pkg/clientset/versioned"
	istioinformers "istio.io/client-go/pkg/informers/externalversions"

	corev1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"

	"github.com/lateenmesh/lateen/control/collection"
	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

// Edit is one change of the tables, applied inside a transaction.
type Edit func(tx *collection.Tx)

// Watch feeds the tables from the API server.
type Watch struct {
	Kube  kubernetes.Interface
	Istio istioapi.Interface
	// DomainSuffix of the cluster ("cluster.local").
	DomainSuffix string
	// RootNamespace holds the ConfigMap istio.
	RootNamespace string
	Tables        Tables
	// Apply takes an edit; it is called from several goroutines, and the edits
	// of one object come in order.
	Apply func(Edit)
	Log   *slog.Logger
}

// Run watches until ctx ends. It calls synced once everything that was there
// at the start has been handed to Apply.
func (w Watch) Run(ctx context.Context, synced func()) error {
	kube := informers.NewSharedInformerFactoryWithOptions(w.Kube, 0, informers.WithTransform(trim))
	// The mesh config is one object: no need to hear of every other.
	settings := informers.NewSharedInformerFactoryWithOptions(w.Kube, 0, informers.WithNamespace(w.RootNamespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", "istio").String()
		}))
	istio := istioinformers.NewSharedInformerFactoryWithOptions(w.Istio, 0, istioinformers.WithTransform(trim))
	handles, err := w.register(kube, settings, istio)
	if err != nil {
		return err
	}
	kube.Start(ctx.Done())
	settings.Start(ctx.Done())
	istio.Start(ctx.Done())
	defer func() {
		kube.Shutdown()
		settings.Shutdown()
		istio.Shutdown()
	}()
	var done []cache.InformerSynced
	for _, h := range handles {
		done = append(done, h.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), done...) {
		return ctx.Err()
	}
	w.Apply(w.defaults)
	synced()
	<-ctx.Done()
	return ctx.Err()
}

// defaults puts the mesh's own settings in place when there is no ConfigMap.
func (w Watch) defaults(tx *collection.Tx) {
	if _, ok := w.Tables.MeshConfig.Get(MeshKey); !ok && !w.Tables.MeshConfig.Staged(MeshKey) {
		w.Tables.MeshConfig.Set(tx, MeshKey, DefaultMesh())
	}
}

// trim drops what the mesh never reads before the object is kept in a cache.
func trim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

func (w Watch) register(kube, settings informers.SharedInformerFactory, istio istioinformers.SharedInformerFactory) ([]cache.ResourceEventHandlerRegistration, error) {
	t := w.Tables
	core, net, sec := kube.Core().V1(), istio.Networking().V1(), istio.Security().V1()
	var hs []cache.ResourceEventHandlerRegistration
	var failed error
	add := func(inf cache.SharedIndexInformer, h cache.ResourceEventHandler) {
		reg, err := inf.AddEventHandler(h)
		if err != nil && failed == nil {
			failed = fmt.Errorf("watch objects: %w", err)
		}
		hs = append(hs, reg)
	}
	add(core.Services().Informer(), handler(w, t.Services, byName, w.service))
	add(core.Pods().Informer(), handler(w, t.Pods, byName, w.pod))
	add(core.Nodes().Informer(), handler(w, t.Nodes, byName, w.node))
	add(core.Namespaces().Informer(), handler(w, t.Namespaces, byName, w.namespace))
	add(core.Secrets().Informer(), handler(w, t.Secrets, byName, w.secret))
	add(settings.Core().V1().ConfigMaps().Informer(), w.settingsHandler())
	add(kube.Discovery().V1().EndpointSlices().Informer(), handler(w, t.Slices, byName, w.slice))
	add(net.VirtualServices().Informer(), handler(w, t.VirtualServices, byName, virtualService))
	add(net.DestinationRules().Informer(), handler(w, t.DestinationRules, byName, destinationRule))
	add(net.Gateways().Informer(), handler(w, t.Gateways, byName, gateway))
	add(net.ServiceEntries().Informer(), handler(w, t.ServiceEntries, byName, serviceEntry))
	add(net.WorkloadEntries().Informer(), handler(w, t.WorkloadEntries, byName, workloadEntry))
	add(sec.PeerAuthentications().Informer(), handler(w, t.PeerAuthentications, byName, peerAuthentication))
	// Kinds that are not translated yet are watched so that their users hear it.
	others := map[string]cache.SharedIndexInformer{
		"Sidecar": net.Sidecars().Informer(), "WorkloadGroup": net.WorkloadGroups().Informer(),
		"EnvoyFilter":           istio.Networking().V1alpha3().EnvoyFilters().Informer(),
		"ProxyConfig":           istio.Networking().V1beta1().ProxyConfigs().Informer(),
		"AuthorizationPolicy":   sec.AuthorizationPolicies().Informer(),
		"RequestAuthentication": sec.RequestAuthentications().Informer(),
		"Telemetry":             istio.Telemetry().V1().Telemetries().Informer(),
		"WasmPlugin":            istio.Extensions().V1alpha1().WasmPlugins().Informer(),
	}
	for kind, inf := range others {
		key := func(o metav1.Object) string { return kind + "/" + byName(o) }
		add(inf, handler(w, t.Untranslated, key, func(o metav1.Object) (mesh.Meta, bool) { return metaOf(kind, o), true }))
	}
	return hs, failed
}

// handler turns an informer's events on objects of type O into edits of one
// table.
func handler[O metav1.Object, V any](w Watch, in collection.Input[V], key func(metav1.Object) string, read func(O) (V, bool)) cache.ResourceEventHandler {
	set := func(obj any) {
		o, ok := obj.(O)
		if !ok {
			return
		}
		v, keep := read(o)
		k := key(o)
		w.Apply(func(tx *collection.Tx) {
			if keep {
				in.Set(tx, k, v)
			} else {
				in.Delete(tx, k)
			}
		})
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if o, ok := obj.(O); ok {
				k := key(o)
				w.Apply(func(tx *collection.Tx) { in.Delete(tx, k) })
			}
		},
	}
}

// settingsHandler keeps the last good mesh config when its text cannot be read,
// and goes back to the defaults when the ConfigMap is gone.
func (w Watch) settingsHandler() cache.ResourceEventHandler {
	set := func(obj any) {
		o, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return
		}
		if m, ok := w.settings(o); ok {
			w.Apply(func(tx *collection.Tx) { w.Tables.MeshConfig.Set(tx, MeshKey, m) })
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(any) {
			w.Apply(func(tx *collection.Tx) { w.Tables.MeshConfig.Set(tx, MeshKey, DefaultMesh()) })
		},
	}
}

func byName(o metav1.Object) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}
	return o.GetNamespace() + "/" + o.GetName()
}

// metaOf names an object. Its labels and annotations are left behind: no stage
// reads them.
func metaOf(kind string, o metav1.Object) mesh.Meta {
	return mesh.Meta{
		Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Created: o.GetCreationTimestamp().Time, Generation: o.GetGeneration(),
	}
}

func (w Watch) service(o *corev1.Service) (*model.Service, bool) {
	return Service(o, w.DomainSuffix), true
}

func (w Watch) slice(o *discovery.EndpointSlice) (*Slice, bool) { return SliceOf(o) }

func (w Watch) pod(o *corev1.Pod) (*model.Workload, bool) { return Workload(o, model.Locality{}) }

func (w Watch) node(o *corev1.Node) (model.Locality, bool) { return Locality(o), true }

func (w Watch) namespace(o *corev1.Namespace) (string, bool) {
	return o.Labels["topology.istio.io/network"], true
}

func (w Watch) secret(o *corev1.Secret) (*mesh.Secret, bool) { return Secret(o) }

// settings reads the mesh config; text that cannot be read leaves the last
// good settings in force.
func (w Watch) settings(o *corev1.ConfigMap) (*mesh.Config, bool) {
	m, err := Mesh(o.Data["mesh"])
	if err == nil {
		return m, true
	}
	w.Log.Error("mesh settings are not valid; the last good ones stay", "configmap", byName(o), "error", err)
	return nil, false
}

func virtualService(o *networkingv1.VirtualService) (*mesh.VirtualService, bool) {
	return &mesh.VirtualService{Meta: metaOf("VirtualService", o), Spec: &o.Spec}, true
}

func destinationRule(o *networkingv1.DestinationRule) (*mesh.DestinationRule, bool) {
	return &mesh.DestinationRule{Meta: metaOf("DestinationRule", o), Spec: &o.Spec}, true
}

func gateway(o *networkingv1.Gateway) (*mesh.Gateway, bool) {
	return &mesh.Gateway{Meta: metaOf("Gateway", o), Spec: &o.Spec}, true
}

func serviceEntry(o *networkingv1.ServiceEntry) (*mesh.ServiceEntry, bool) {
	return &mesh.ServiceEntry{Meta: metaOf("ServiceEntry", o), Spec: &o.Spec}, true
}

func workloadEntry(o *networkingv1.WorkloadEntry) (*WorkloadEntry, bool) {
	return &WorkloadEntry{Meta: metaOf("WorkloadEntry", o), Spec: &o.Spec}, true
}

func peerAuthentication(o *securityv1.PeerAuthentication) (*mesh.PeerAuthentication, bool) {
	return &mesh.PeerAuthentication{Meta: metaOf("PeerAuthentication", o), Spec: &o.Spec}, true
}
