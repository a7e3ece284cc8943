package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is one container of a pod, over all of its runs.
type container struct {
	w    *worker
	spec corev1.Container
	init bool

	stopping chan struct{} // closed when it is to end for good
	stopOnce sync.Once
	done     chan struct{} // closed when no further run follows
	launched bool          // done will be closed; owned by the pod's start, then by its end

	mu       sync.Mutex
	run      *run                             // guarded by mu: the one under way, nil between runs
	env      []string                         // guarded by mu: of the newest run
	restarts int32                            // guarded by mu
	last     *corev1.ContainerStateTerminated // guarded by mu: of the run before
	waiting  string                           // guarded by mu: why no run is under way
	text     string                           // guarded by mu
	started  bool                             // guarded by mu: the startup probe has succeeded
	ready    bool                             // guarded by mu
	ended    *corev1.ContainerStateTerminated // guarded by mu: when no further run follows
}

// run is one process.
type run struct {
	cmd     *exec.Cmd
	began   time.Time
	exited  chan struct{}
	outcome corev1.ContainerStateTerminated // set before exited is closed
	log     *logFile
}

func newContainer(w *worker, spec corev1.Container, init bool) *container {
	return &container{w: w, spec: spec, init: init, stopping: make(chan struct{}), done: make(chan struct{}), waiting: "ContainerCreating"}
}

// native reports whether an init container is a sidecar that stays.
func (c *container) native() bool {
	return c.init && c.spec.RestartPolicy != nil && *c.spec.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// launch keeps the container running until it is stopped.
func (c *container) launch(ctx context.Context) {
	c.launched = true
	go c.keep(ctx)
}

const (
	firstBackoff = 10 * time.Second
	maxBackoff   = 5 * time.Minute
	// settled is how long a run has to last for the next failure to count as the
	// first.
	settled = 10 * time.Minute
)

// keep runs the container again and again, as the pod's restart policy says.
func (c *container) keep(ctx context.Context) {
	defer close(c.done)
	failures := 0
	for {
		r := c.create(ctx)
		if r == nil {
			return
		}
		if c.isStopping() { // stop may have come too early to see this run
			c.end(r, time.Now().Add(time.Second))
		}
		c.observe(ctx, r)
		c.finish(r)
		if time.Since(r.began) > settled {
			failures = 0
		}
		if c.isStopping() || !c.again(r) {
			return
		}
		failures++
		if !c.pause(ctx, failures) {
			return
		}
		c.mu.Lock()
		c.restarts++
		c.mu.Unlock()
	}
}

// create begins a run. What it misses may still come: it is tried again and again
// until it works, or the container is stopped, which gives nil.
func (c *container) create(ctx context.Context) *run {
	told := ""
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, firstBackoff) {
		if c.isStopping() || ctx.Err() != nil {
			return nil
		}
		r, err := c.begin(ctx)
		if err == nil {
			return r
		}
		c.mu.Lock()
		c.waiting, c.text = "CreateContainerConfigError", err.Error()
		c.mu.Unlock()
		if told != err.Error() {
			told = err.Error()
			c.event(corev1.EventTypeWarning, "Failed", "Error: "+told)
		}
		c.w.touch()
		select {
		case <-c.stopping:
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// again reports whether the policy asks for another run.
func (c *container) again(r *run) bool {
	if c.native() {
		return true
	}
	c.w.mu.Lock()
	policy := c.w.pod.Spec.RestartPolicy
	c.w.mu.Unlock()
	if policy == corev1.RestartPolicyAlways || policy == corev1.RestartPolicyOnFailure && r.outcome.ExitCode != 0 {
		return true
	}
	c.set(func() { c.ended = c.last })
	return false
}

// pause waits before another run. The first restart comes at once.
func (c *container) pause(ctx context.Context, failures int) bool {
	if failures <= 1 {
		return true
	}
	wait := min(firstBackoff<<min(failures-2, 10), maxBackoff)
	c.mu.Lock()
	c.waiting, c.text = "CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", wait, c.spec.Name, c.w.name, c.w.namespace, c.w.uid)
	c.mu.Unlock()
	c.event(corev1.EventTypeWarning, "BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", c.spec.Name, c.w.name, c.w.namespace, c.w.uid))
	c.w.touch()
	select {
	case <-time.After(wait):
		return true
	case <-c.stopping:
	case <-ctx.Done():
	}
	return false
}

func (c *container) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

func (c *container) event(kind, reason, text string) {
	c.w.mu.Lock()
	pod := c.w.pod
	c.w.mu.Unlock()
	c.w.recorder.Event(pod, kind, reason, text)
}

// begin starts a run.
func (c *container) begin(ctx context.Context) (*run, error) {
	c.w.mu.Lock()
	pod := c.w.pod
	c.w.mu.Unlock()
	env, err := c.w.environment(ctx, pod, &c.spec)
	if err != nil {
		return nil, err
	}
	cmd, err := c.command(env)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	n := c.restarts
	c.env = cmd.Env
	c.mu.Unlock()
	r := &run{cmd: cmd, exited: make(chan struct{})}
	if r.log, err = newLog(c.logPath(n)); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = r.log.writer(), r.log.writer()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // a child that keeps the output open must not keep us
	r.began = time.Now()
	if err := c.w.spawn(cmd); err != nil {
		r.log.close()
		return nil, err
	}
	_ = os.Remove(c.logPath(n - 2)) // the run before keeps its log, older ones do not
	go func() {
		err := cmd.Wait()
		r.log.close()
		r.outcome = outcome(r, err)
		close(r.exited)
	}()
	c.event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine", c.spec.Image))
	c.event(corev1.EventTypeNormal, "Created", "Created container: "+c.spec.Name)
	c.event(corev1.EventTypeNormal, "Started", "Started container "+c.spec.Name)
	c.mu.Lock()
	c.run, c.started, c.ready = r, false, false
	c.mu.Unlock()
	c.w.touch()
	return r, nil
}

// command is the process to start.
func (c *container) command(env map[string]string) (*exec.Cmd, error) {
	p := c.w.programs[c.spec.Name]
	argv := p.Command
	if len(c.spec.Command) > 0 {
		argv = expandAll(c.spec.Command, env)
	}
	argv = append(append([]string{}, argv...), expandAll(c.spec.Args, env)...)
	if len(argv) == 0 {
		return nil, fmt.Errorf("image %q has no command", c.spec.Image)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = p.Dir
	if cmd.Dir == "" {
		cmd.Dir = c.w.rootOf(c.spec.Name)
	}
	if c.spec.WorkingDir != "" {
		cmd.Dir = filepath.Join(c.w.rootOf(c.spec.Name), c.spec.WorkingDir)
		if err := os.MkdirAll(cmd.Dir, 0o755); err != nil {
			return nil, err
		}
	}
	cmd.Env = pairs(env)
	return cmd, nil
}

func expandAll(words []string, env map[string]string) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = expand(w, env)
	}
	return all
}

func outcome(r *run, err error) corev1.ContainerStateTerminated {
	t := corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: metav1.NewTime(r.began), FinishedAt: metav1.Now(), ContainerID: containerID(r)}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return t
	case errors.As(err, &exit):
		t.ExitCode = int32(exit.ExitCode())
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			t.Signal, t.ExitCode = int32(status.Signal()), 128+int32(status.Signal())
		}
	default:
		t.ExitCode, t.Message = 1, err.Error()
	}
	t.Reason = "Error"
	return t
}

func containerID(r *run) string { return fmt.Sprintf("process://%d", r.cmd.Process.Pid) }

// finish notes how a run has ended, and ends what it has left behind in its group.
func (c *container) finish(r *run) {
	signal(r, syscall.SIGKILL)
	c.mu.Lock()
	t := r.outcome
	c.last, c.run, c.ready, c.started = &t, nil, false, false
	c.waiting, c.text = "CrashLoopBackOff", ""
	if c.isStopping() {
		c.ended = &t
	}
	c.mu.Unlock()
	c.w.touch()
}

// observe probes a run until it has ended.
func (c *container) observe(ctx context.Context, r *run) {
	probing, cancel := context.WithCancel(ctx)
	var probes sync.WaitGroup
	probes.Go(func() { c.probe(probing, r) })
	if hook := c.spec.Lifecycle; hook != nil && hook.PostStart != nil {
		if err := c.hook(probing, hook.PostStart); err != nil {
			c.event(corev1.EventTypeWarning, "FailedPostStartHook", err.Error())
			c.end(r, time.Now().Add(2*time.Second))
		}
	}
	<-r.exited
	cancel()
	probes.Wait()
}

// runOnce runs an init container until it has succeeded.
func (c *container) runOnce(ctx context.Context) error {
	c.launched = true
	defer close(c.done)
	for failures := 1; ; failures++ {
		r := c.create(ctx)
		if r == nil {
			return context.Canceled
		}
		select {
		case <-r.exited:
		case <-ctx.Done():
			c.end(r, time.Now().Add(time.Second))
		}
		c.finish(r)
		if r.outcome.ExitCode == 0 && ctx.Err() == nil {
			c.set(func() { c.ended, c.ready = c.last, true })
			return nil
		}
		if !c.again(r) {
			return fmt.Errorf("init container %s: exit status %d", c.spec.Name, r.outcome.ExitCode)
		}
		if !c.pause(ctx, failures+1) {
			return context.Canceled
		}
		c.mu.Lock()
		c.restarts++
		c.mu.Unlock()
	}
}

// awaitStarted waits until a sidecar's startup probe has succeeded.
func (c *container) awaitStarted(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		started := c.started
		c.mu.Unlock()
		if started {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.stopping:
			return context.Canceled
		case <-tick.C:
		}
	}
}

// stop ends the container for good: its preStop hook, then SIGTERM, then SIGKILL
// at the deadline.
func (c *container) stop(ctx context.Context, deadline time.Time) {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r != nil {
		c.event(corev1.EventTypeNormal, "Killing", "Stopping container "+c.spec.Name)
		if hook := c.spec.Lifecycle; hook != nil && hook.PreStop != nil {
			hooking, cancel := context.WithDeadline(ctx, deadline)
			if err := c.hook(hooking, hook.PreStop); err != nil {
				c.event(corev1.EventTypeWarning, "FailedPreStopHook", err.Error())
			}
			cancel()
		}
	}
	c.stopOnce.Do(func() { close(c.stopping) })
	if r != nil {
		c.end(r, deadline)
	}
	if c.launched {
		c.mu.Lock()
		later := c.run // one that began in between
		c.mu.Unlock()
		if later != nil && later != r {
			c.end(later, deadline)
		}
		<-c.done
	}
}

// end ends one run and waits for it.
func (c *container) end(r *run, deadline time.Time) {
	signal(r, syscall.SIGTERM)
	select {
	case <-r.exited:
	case <-time.After(time.Until(deadline)):
		signal(r, syscall.SIGKILL)
		<-r.exited
	}
	signal(r, syscall.SIGKILL) // what it has left behind in its group
}

// signal reaches the whole process group.
func signal(r *run, s syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, s) }
