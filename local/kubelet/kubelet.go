// Package kubelet runs pods as processes of this machine: each pod has a loopback
// address of its own, each container is a process with a folder as its root.
//
// It is the end of one journey (a pod is stored, a process runs) and the start of
// another: it tells each application where to listen and how to reach the mesh.
package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// Config is what the kubelet works with.
type Config struct {
	Kube kubernetes.Interface
	// Node is the name of the one node.
	Node string
	// Dir holds the pods' folders. It is emptied at the start.
	Dir string
	// Pods is the block from which pods get their addresses.
	Pods netip.Prefix
	// Program finds what an image stands for.
	Program func(image string) (Program, error)
	// API is where containers find the API server, and CA its certificate
	// authority.
	API netip.AddrPort
	CA  []byte
	// Nameserver and Mixed are told to containers: the cluster's DNS server, and
	// the proxy for pods without a sidecar.
	Nameserver, Mixed netip.AddrPort
	// LowPorts is added to ports below 1024 of pod addresses; 0 leaves them.
	LowPorts uint16
	Log      *slog.Logger
}

// Kubelet runs the pods of one node.
type Kubelet struct {
	Config
	recorder record.EventRecorder
	events   record.EventBroadcaster
	// schedules tells of pods as the scheduler would.
	schedules record.EventRecorder
	spawns    chan spawning
	stopped   chan struct{} // closed when Run ends

	mu      sync.Mutex
	workers map[types.UID]*worker // guarded by mu
	taken   map[netip.Addr]bool   // guarded by mu: pod addresses
	next    netip.Addr            // guarded by mu
	ports   map[int]bool          // guarded by mu: private ports
	running sync.WaitGroup
}

// New makes a kubelet. It starts nothing.
func New(cfg Config) *Kubelet {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &Kubelet{Config: cfg, workers: map[types.UID]*worker{}, taken: map[netip.Addr]bool{}, next: cfg.Pods.Addr(), ports: map[int]bool{},
		spawns: make(chan spawning), stopped: make(chan struct{})}
	k.events = record.NewBroadcaster()
	k.recorder = k.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: cfg.Node})
	k.schedules = k.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "default-scheduler"})
	return k
}

// Run runs pods until ctx ends, and then ends them: each gets its SIGTERM and its
// grace, within what the caller allows by killing this process.
func (k *Kubelet) Run(ctx context.Context) error {
	if err := os.RemoveAll(k.Dir); err != nil {
		return fmt.Errorf("empty the pods' folder: %w", err)
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	if err := k.register(ctx); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	var spawner sync.WaitGroup
	spawner.Go(k.runSpawner)
	defer spawner.Wait()
	defer close(k.stopped)
	k.events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.Kube.CoreV1().Events("")})
	defer k.events.Shutdown()
	factory := informers.NewSharedInformerFactory(k.Kube, 0)
	pods := factory.Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.see(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { k.see(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			k.forget(o.(*corev1.Pod))
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	k.running.Wait()
	return nil
}

// register makes the node, or marks it ready.
func (k *Kubelet) register(ctx context.Context) error {
	nodes := k.Kube.CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.Node, Labels: map[string]string{corev1.LabelHostname: k.Node, corev1.LabelOSStable: "linux"}}}
	if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %s: %w", k.Node, err)
	}
	have, err := nodes.Get(ctx, k.Node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("register node %s: %w", k.Node, err)
	}
	now := metav1.Now()
	have.Status = corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "pods run as processes of this machine", LastHeartbeatTime: now, LastTransitionTime: now}},
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: k.Node}},
		NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: "lateen", OperatingSystem: "linux", OSImage: "this machine", ContainerRuntimeVersion: "process://1"},
		Capacity:   corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1000")},
		Allocatable: corev1.ResourceList{
			corev1.ResourcePods: resource.MustParse("1000"),
		},
	}
	if _, err := nodes.UpdateStatus(ctx, have, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("register node %s: %w", k.Node, err)
	}
	return nil
}

// see gives a pod, as it is now, to its worker.
func (k *Kubelet) see(ctx context.Context, pod *corev1.Pod) {
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	w := k.workers[pod.UID]
	if w == nil {
		if finished(pod) && pod.DeletionTimestamp == nil {
			k.mu.Unlock()
			return
		}
		w = newWorker(k, pod)
		k.workers[pod.UID] = w
		k.running.Go(func() { w.run(ctx) })
	}
	k.mu.Unlock()
	w.see(pod)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// forget ends the worker of a pod that is no longer stored.
func (k *Kubelet) forget(pod *corev1.Pod) {
	k.mu.Lock()
	w := k.workers[pod.UID]
	k.mu.Unlock()
	if w != nil {
		w.kill()
	}
}

// drop is a worker's last word.
func (k *Kubelet) drop(w *worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.workers, w.uid)
	delete(k.taken, w.ip)
	for _, port := range w.private {
		delete(k.ports, port)
	}
	_ = os.RemoveAll(w.dir)
}

// find gives the worker of a stored pod.
func (k *Kubelet) find(pod *corev1.Pod) (*worker, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		return w, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not run", pod.Name))
}

// address allots a pod address.
func (k *Kubelet) address() (netip.Addr, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range 1 << 15 {
		k.next = k.next.Next()
		if !k.Pods.Contains(k.next) {
			k.next = k.Pods.Addr().Next()
		}
		// .0 and .255 look like networks to people.
		if last := k.next.As4()[3]; !k.taken[k.next] && last != 0 && last != 255 {
			k.taken[k.next] = true
			return k.next, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address is left in %s", k.Pods)
}

// shift moves a port of a pod's address that may not be bound.
func (k *Kubelet) shift(a netip.AddrPort) netip.AddrPort {
	if k.LowPorts == 0 || a.Port() >= 1024 {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), a.Port()+k.LowPorts)
}

func (k *Kubelet) podDir(pod *corev1.Pod) string { return filepath.Join(k.Dir, string(pod.UID)) }
