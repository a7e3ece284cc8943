package kubelet

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// report writes the pod's status whenever something changes.
func (w *worker) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		}
		for {
			err := w.writeStatus(ctx)
			if err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil {
				break
			}
			if !apierrors.IsConflict(err) {
				w.Log.Warn("status not written", "pod", w.namespace+"/"+w.name, "error", err)
			}
			if !sleep(ctx, 50*time.Millisecond) {
				return
			}
		}
	}
}

func (w *worker) writeStatus(ctx context.Context) error {
	pods := w.Kube.CoreV1().Pods(w.namespace)
	pod, err := pods.Get(ctx, w.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if pod.UID != w.uid {
		return nil
	}
	status := w.status(pod)
	if equality.Semantic.DeepEqual(status, pod.Status) {
		return nil
	}
	pod.Status = status
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// status is what is known of the pod, in the words that kubectl shows.
func (w *worker) status(pod *corev1.Pod) corev1.PodStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := *pod.Status.DeepCopy()
	s.HostIP, s.HostIPs = "127.0.0.1", []corev1.HostIP{{IP: "127.0.0.1"}}
	s.PodIP, s.PodIPs = w.ip.String(), []corev1.PodIP{{IP: w.ip.String()}}
	if s.StartTime == nil {
		t := metav1.NewTime(w.scheduled)
		s.StartTime = &t
	}
	s.InitContainerStatuses, s.ContainerStatuses = nil, nil
	initialized, ready := true, true
	waitingForInit, initFailed := false, false
	for _, c := range w.order {
		cs := c.status(w.reason, w.problem, waitingForInit)
		if c.init {
			s.InitContainerStatuses = append(s.InitContainerStatuses, cs)
			done := cs.Ready || cs.State.Terminated != nil && cs.State.Terminated.ExitCode == 0
			if c.native() {
				done = cs.Started != nil && *cs.Started
				ready = ready && cs.Ready
			}
			initFailed = initFailed || cs.State.Terminated != nil && !done && pod.Spec.RestartPolicy == corev1.RestartPolicyNever
			initialized = initialized && done
			waitingForInit = waitingForInit || !done
			continue
		}
		s.ContainerStatuses = append(s.ContainerStatuses, cs)
		ready = ready && cs.Ready
	}
	if s.Phase = phase(pod, s.ContainerStatuses, initialized); initFailed {
		s.Phase = corev1.PodFailed
	}
	ready = ready && initialized && s.Phase == corev1.PodRunning
	reason := ""
	if !ready {
		reason = "ContainersNotReady"
	}
	s.Conditions = slices.Clone(s.Conditions)
	setCondition(&s, corev1.PodScheduled, true, "")
	setCondition(&s, corev1.PodInitialized, initialized, "ContainersNotInitialized")
	setCondition(&s, corev1.ContainersReady, ready, reason)
	setCondition(&s, corev1.PodReady, ready, reason)
	return s
}

func setCondition(s *corev1.PodStatus, kind corev1.PodConditionType, holds bool, reason string) {
	want := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Truncate(time.Second))}
	if !holds {
		want.Status, want.Reason = corev1.ConditionFalse, reason
	}
	for i := range s.Conditions {
		if have := &s.Conditions[i]; have.Type == kind {
			if have.Status == want.Status {
				want.LastTransitionTime = have.LastTransitionTime
			}
			*have = want
			return
		}
	}
	s.Conditions = append(s.Conditions, want)
}

func phase(pod *corev1.Pod, all []corev1.ContainerStatus, initialized bool) corev1.PodPhase {
	if !initialized {
		return corev1.PodPending
	}
	ended, failed, begun := 0, false, 0
	for _, c := range all {
		switch {
		case c.State.Terminated != nil:
			ended++
			begun++
			failed = failed || c.State.Terminated.ExitCode != 0
		case c.State.Running != nil || c.LastTerminationState.Terminated != nil:
			begun++
		}
	}
	switch {
	case begun < len(all):
		return corev1.PodPending
	case ended < len(all) || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways: // one that is deleted is Terminating to its end
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}

// status of one container. reason and problem are the pod's, which keep it from
// starting at all.
func (c *container) status(reason, problem string, waitingForInit bool) corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.started
	s := corev1.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, RestartCount: c.restarts, Ready: c.ready, Started: &started}
	if c.last != nil {
		s.LastTerminationState.Terminated = c.last
	}
	switch {
	case c.run != nil:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.run.began)}
		s.ContainerID = containerID(c.run)
	case c.ended != nil:
		s.State.Terminated, s.LastTerminationState.Terminated = c.ended, nil
		s.ContainerID = c.ended.ContainerID
	case problem != "":
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: problem}
	case waitingForInit:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	default:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.waiting, Message: c.text}
	}
	return s
}
