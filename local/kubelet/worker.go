package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// worker runs one pod. Its fields are owned by start until that returns or has
// mounted the volumes, and by run after it, but for those that say otherwise.
type worker struct {
	*Kubelet
	uid             types.UID
	name, namespace string
	dir             string
	ip              netip.Addr
	programs        map[string]Program // by container
	private         map[int32]int      // private ports by pod port
	injected        bool
	tokens          map[string]issued // by audience
	grace           int64             // seconds

	pods chan *corev1.Pod // the newest version, at most one
	dead chan struct{}    // closed when the pod is no longer stored
	once sync.Once
	// changed wakes the status writer.
	changed chan struct{}

	mu    sync.Mutex
	pod   *corev1.Pod           // guarded by mu: the newest version
	state map[string]*container // guarded by mu: by name
	order []*container          // guarded by mu
	// problem is why containers do not start yet; guarded by mu.
	problem, reason string
	mounted         bool      // guarded by mu: the volumes are there, and tokens may be renewed
	scheduled       time.Time // guarded by mu
}

func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	return &worker{
		Kubelet: k, uid: pod.UID, name: pod.Name, namespace: pod.Namespace, dir: k.podDir(pod), tokens: map[string]issued{},
		programs: map[string]Program{}, private: map[int32]int{},
		pods: make(chan *corev1.Pod, 1), dead: make(chan struct{}), changed: make(chan struct{}, 1), pod: pod, state: map[string]*container{},
	}
}

// see notes the newest version of the pod.
func (w *worker) see(pod *corev1.Pod) {
	w.mu.Lock()
	w.pod = pod
	w.mu.Unlock()
	for {
		select {
		case w.pods <- pod:
			return
		default:
		}
		select {
		case <-w.pods: // an older one that nobody took
		default:
		}
	}
}

func (w *worker) kill() { w.once.Do(func() { close(w.dead) }) }

func (w *worker) touch() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run runs the pod until it is deleted, or the machine's home stops.
func (w *worker) run(home context.Context) {
	defer w.drop(w)
	// The pod outlives home's end by its grace.
	ctx, cancel := context.WithCancel(context.WithoutCancel(home))
	defer cancel()
	starting, stopStarting := context.WithCancel(ctx)
	defer stopStarting()
	var reporting, start sync.WaitGroup
	reporting.Go(func() { w.report(ctx) })
	start.Go(func() {
		if err := w.start(starting, ctx); err != nil && starting.Err() == nil {
			w.Log.Error("pod not started", "pod", w.namespace+"/"+w.name, "error", err)
		}
	})
	w.awaitEnd(home)
	stopStarting()
	start.Wait() // nothing more is launched
	w.terminate(ctx)
	if home.Err() == nil {
		w.remove(ctx)
	}
	cancel()
	reporting.Wait()
}

// awaitEnd returns when the pod is to end.
func (w *worker) awaitEnd(home context.Context) {
	refresh := time.NewTicker(10 * time.Second)
	defer refresh.Stop()
	for {
		select {
		case <-home.Done():
			w.grace = 5
			return
		case <-w.dead:
			return
		case pod := <-w.pods:
			if pod.DeletionTimestamp != nil {
				w.grace = 30
				if g := pod.DeletionGracePeriodSeconds; g != nil {
					w.grace = *g
				}
				return
			}
		case <-refresh.C:
			w.refresh(home)
		}
	}
}

// refresh writes what has changed in the volumes' sources.
func (w *worker) refresh(ctx context.Context) {
	w.mu.Lock()
	pod, mounted := w.pod, w.mounted
	w.mu.Unlock()
	if !mounted {
		return
	}
	if err := w.fill(ctx, pod); err != nil && ctx.Err() == nil {
		w.Log.Warn("volumes not renewed", "pod", w.namespace+"/"+w.name, "error", err)
	}
}

// start brings the pod up: a node, an address, programs, volumes, the init
// containers one after the other, then the others. It returns soon after ctx has
// ended; what it has begun lives until life ends.
func (w *worker) start(ctx, life context.Context) error {
	w.mu.Lock()
	pod := w.pod
	w.mu.Unlock()
	if pod.Spec.NodeName == "" {
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: w.name, Namespace: w.namespace}, Target: corev1.ObjectReference{Kind: "Node", Name: w.Node}}
		if err := w.Kube.CoreV1().Pods(w.namespace).Bind(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsConflict(err) {
			return err
		}
		w.schedules.Eventf(pod, corev1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", w.namespace, w.name, w.Node)
	}
	ip, err := w.address()
	if err != nil {
		return err
	}
	w.ip = ip
	w.mu.Lock()
	w.scheduled = time.Now()
	for i, c := range containers(pod) {
		s := newContainer(w, c, i < len(pod.Spec.InitContainers))
		w.state[c.Name] = s
		w.order = append(w.order, s)
	}
	w.mu.Unlock()
	w.touch()
	if err := w.prepare(ctx, pod); err != nil {
		return err
	}
	if !w.injected {
		// A pod that is ending answers until its processes have ended.
		if err := w.forward(life); err != nil {
			return err
		}
	}
	return w.startContainers(ctx, life)
}

// prepare finds programs and makes volumes, again and again until it works: what
// is missing may still come.
func (w *worker) prepare(ctx context.Context, pod *corev1.Pod) error {
	wait := 50 * time.Millisecond
	told := ""
	for {
		err := w.plan(pod)
		reason, event := "ContainerCreating", "FailedMount"
		if err == nil {
			err = w.mount(ctx, pod)
		} else if bad := (*imageError)(nil); errors.As(err, &bad) {
			reason, event = "ImagePullBackOff", "Failed"
		}
		w.mu.Lock()
		w.problem, w.reason, w.mounted = "", "", err == nil
		if err != nil {
			w.problem, w.reason = err.Error(), reason
		}
		w.mu.Unlock()
		if err == nil {
			return nil
		}
		// What comes in a moment needs no event.
		if wait > 400*time.Millisecond && told != err.Error() {
			told = err.Error()
			w.recorder.Event(pod, corev1.EventTypeWarning, event, told)
		}
		w.touch()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 2*time.Second)
		w.mu.Lock()
		pod = w.pod
		w.mu.Unlock()
	}
}

func (w *worker) startContainers(ctx, life context.Context) error {
	w.mu.Lock()
	order := slices.Clone(w.order)
	w.mu.Unlock()
	for _, c := range order {
		if !c.init {
			continue
		}
		if c.native() {
			c.launch(life)
			if err := c.awaitStarted(ctx); err != nil {
				return err
			}
			continue
		}
		if err := c.runOnce(ctx); err != nil {
			return err
		}
	}
	for _, c := range order {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !c.init {
			c.launch(life)
		}
	}
	return nil
}

// terminate ends the containers: all at once, as Kubernetes does, but the mesh's
// own last, so that applications can still call others while they stop.
func (w *worker) terminate(ctx context.Context) {
	w.mu.Lock()
	order := slices.Clone(w.order)
	w.mu.Unlock()
	deadline := time.Now().Add(time.Duration(w.grace) * time.Second)
	var own, others []*container
	for _, c := range order {
		if w.programs[c.spec.Name].Mesh && w.injected {
			own = append(own, c)
		} else {
			others = append(others, c)
		}
	}
	for _, group := range [][]*container{others, own} {
		var ended sync.WaitGroup
		for _, c := range group {
			ended.Go(func() { c.stop(ctx, deadline) })
		}
		ended.Wait()
	}
}

// remove tells the API that nothing of the pod is left.
func (w *worker) remove(ctx context.Context) {
	err := w.Kube.CoreV1().Pods(w.namespace).Delete(ctx, w.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &w.uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		w.Log.Warn("pod not removed", "pod", fmt.Sprintf("%s/%s", w.namespace, w.name), "error", err)
	}
}
