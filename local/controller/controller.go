// Package controller holds the small controllers that make the embedded API live:
// what a cluster's controller manager does for the kinds that a mesh uses.
// Deployments become ReplicaSets and those Pods, Services get EndpointSlices,
// namespaces their service account, and what has lost its owner goes away.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// Config is what the controllers work with.
type Config struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	// CA is the API server's certificate authority, published to every namespace
	// as the ConfigMap kube-root-ca.crt; empty publishes none.
	CA  []byte
	Log *slog.Logger
}

// Set is all controllers over one set of informers.
type Set struct {
	Config
	informers informers.SharedInformerFactory
	recorder  record.EventRecorder
	events    record.EventBroadcaster
	loops     []*loop
}

// New makes the controllers. It starts nothing.
func New(cfg Config) *Set {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{Config: cfg, informers: informers.NewSharedInformerFactory(cfg.Kube, 0)}
	s.events = record.NewBroadcaster()
	s.recorder = s.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "lateen-controllers"})
	s.addNamespaces()
	s.addDeployments()
	s.addReplicaSets()
	s.addDaemonSets()
	s.addEndpointSlices()
	s.addGarbage()
	return s
}

// Run works until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	s.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: s.Kube.CoreV1().Events("")})
	defer s.events.Shutdown()
	s.informers.Start(ctx.Done())
	s.informers.WaitForCacheSync(ctx.Done())
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range s.loops {
		group.Go(func() error { return l.run(ctx, s.Log) })
	}
	err := group.Wait()
	s.informers.Shutdown()
	return err
}

// loop brings objects, named by their keys, one at a time to where they should
// be.
type loop struct {
	name  string
	queue workqueue.TypedRateLimitingInterface[string]
	sync  func(ctx context.Context, key string) error
}

// newLoop makes a loop that New's caller starts with Run. Failures are tried
// again soon, and less and less soon.
func (s *Set) newLoop(name string, sync func(context.Context, string) error) *loop {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](5*time.Millisecond, 10*time.Second)
	l := &loop{name: name, queue: workqueue.NewTypedRateLimitingQueue(limiter), sync: sync}
	s.loops = append(s.loops, l)
	return l
}

func (l *loop) run(ctx context.Context, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	for {
		key, shut := l.queue.Get()
		if shut {
			return nil
		}
		switch err := l.sync(ctx, key); {
		case err == nil:
			l.queue.Forget(key)
		case ctx.Err() != nil:
		default:
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				log.Warn("not reconciled", "controller", l.name, "object", key, "error", err)
			}
			l.queue.AddRateLimited(key)
		}
		l.queue.Done(key)
	}
}

// watch calls changed for every object of an informer that comes, changes or
// goes.
func watch(informer cache.SharedIndexInformer, changed func(obj metav1.Object)) {
	handle := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			changed(o)
		}
	}
	// Handlers can only be refused by an informer that has stopped.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, obj any) { handle(obj) },
		DeleteFunc: handle,
	})
}

func keyOf(o metav1.Object) string {
	if o.GetNamespace() == "" {
		return o.GetName()
	}
	return o.GetNamespace() + "/" + o.GetName()
}

// owned calls enqueue with the key of o's controller, if that is of the kind.
func owned(o metav1.Object, kind string, enqueue func(key string)) {
	if ref := metav1.GetControllerOf(o); ref != nil && ref.Kind == kind {
		enqueue(o.GetNamespace() + "/" + ref.Name)
	}
}

func split(key string) (namespace, name string) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		panic(fmt.Sprintf("key %q was not made by keyOf", key))
	}
	return namespace, name
}

// gone is nil for an error that says that the object is not there (any more).
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// there is nil for an error that says that the object is there already.
func there(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

var background = metav1.DeletePropagationBackground
