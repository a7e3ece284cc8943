package ca

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// RootConfigMap is the ConfigMap in every namespace from which workloads learn
// whom to trust, under Istio's name.
const RootConfigMap = "istio-ca-root-cert"

// systemNamespaces are Kubernetes' own: nothing of ours goes there.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// Publisher keeps [RootConfigMap] in every namespace equal to the trust bundle.
type Publisher struct {
	client kubernetes.Interface
	keeper *Keeper
	log    *slog.Logger
}

// NewPublisher publishes keeper's roots.
func NewPublisher(client kubernetes.Interface, keeper *Keeper, log *slog.Logger) *Publisher {
	return &Publisher{client: client, keeper: keeper, log: log}
}

// Run publishes until ctx ends: to new namespaces, after someone has changed or
// deleted a ConfigMap, and to all when the roots change.
func (p *Publisher) Run(ctx context.Context) error {
	all := informers.NewSharedInformerFactory(p.client, 0)
	ours := informers.NewSharedInformerFactoryWithOptions(p.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", RootConfigMap).String()
	}))
	namespaces, maps := all.Core().V1().Namespaces(), ours.Core().V1().ConfigMaps()
	changed := make(chan struct{}, 1)
	notify := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: notify, UpdateFunc: func(_, o any) { notify(o) }, DeleteFunc: notify}
	for _, i := range []cache.SharedIndexInformer{namespaces.Informer(), maps.Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch namespaces and root certificates: %w", err)
		}
	}
	rotated := p.keeper.Changed()
	all.Start(ctx.Done())
	ours.Start(ctx.Done())
	defer all.Shutdown()
	defer ours.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), namespaces.Informer().HasSynced, maps.Informer().HasSynced) {
		return nil
	}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-rotated:
		case <-again:
		}
		again = nil
		if !p.publish(ctx, namespaces.Informer().GetStore(), maps.Informer().GetStore()) {
			again = time.After(time.Second)
		}
	}
}

// publish writes what differs, and reports whether all could be written.
func (p *Publisher) publish(ctx context.Context, namespaces, maps cache.Store) bool {
	roots, done := string(p.keeper.Authority().Roots()), true
	for _, o := range namespaces.List() {
		ns := o.(*corev1.Namespace)
		if ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating || slices.Contains(systemNamespaces, ns.Name) {
			continue
		}
		held, exists, _ := maps.GetByKey(ns.Name + "/" + RootConfigMap)
		if exists && held.(*corev1.ConfigMap).Data[keyRoots] == roots {
			continue
		}
		if err := p.write(ctx, ns.Name, roots, exists); err != nil && ctx.Err() == nil {
			p.log.Error("root certificate not published", "namespace", ns.Name, "error", err)
			done = false
		}
	}
	return done
}

func (p *Publisher) write(ctx context.Context, namespace, roots string, exists bool) error {
	maps := p.client.CoreV1().ConfigMaps(namespace)
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: RootConfigMap, Namespace: namespace, Labels: map[string]string{"istio.io/config": "true"}},
		Data:       map[string]string{keyRoots: roots},
	}
	if !exists {
		_, err := maps.Create(ctx, cm, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		// Our own view may be older than our own last write.
		have, err := maps.Get(ctx, RootConfigMap, metav1.GetOptions{})
		if err != nil || have.Data[keyRoots] == roots {
			return err
		}
	}
	_, err := maps.Update(ctx, cm, metav1.UpdateOptions{})
	return err
}
