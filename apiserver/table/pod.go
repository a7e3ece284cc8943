package table

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Pod prints pods.
var Pod = Printer[corev1.Pod]{
	Columns: columns("Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
	Row: func(p *corev1.Pod) []any {
		s := summarize(p)
		ip := p.Status.PodIP
		if len(p.Status.PodIPs) > 0 {
			ip = p.Status.PodIPs[0].IP
		}
		return []any{p.Name, count(s.ready, s.total), s.status, s.restartText(), Age(p.CreationTimestamp),
			orNone(ip), orNone(p.Spec.NodeName), orNone(p.Status.NominatedNodeName), readinessGates(p)}
	},
}

// summary is a pod in one line.
type summary struct {
	ready, total int
	status       string
	restarts     int32
	lastRestart  metav1.Time
}

func (s summary) restartText() string {
	if s.restarts == 0 || s.lastRestart.IsZero() {
		return fmt.Sprint(s.restarts)
	}
	return fmt.Sprintf("%d (%s ago)", s.restarts, duration.HumanDuration(time.Since(s.lastRestart.Time)))
}

func summarize(p *corev1.Pod) summary {
	s := summary{total: len(p.Spec.Containers), status: string(p.Status.Phase)}
	if p.Status.Reason != "" {
		s.status = p.Status.Reason
	}
	restartable := map[string]bool{}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			restartable[c.Name] = true
			s.total++
		}
	}
	if !s.init(p, restartable) || initialized(p) {
		s.main(p)
	}
	if p.DeletionTimestamp != nil {
		switch {
		case p.Status.Reason == "NodeLost":
			s.status = "Unknown"
		case p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed:
			s.status = "Terminating"
		}
	}
	return s
}

// init looks at the init containers and reports whether they are still at it.
func (s *summary) init(p *corev1.Pod, restartable map[string]bool) bool {
	busy := false
	for i, c := range p.Status.InitContainerStatuses {
		if restartable[c.Name] {
			s.count(c)
			if c.Ready {
				s.ready++
			}
			if c.Started != nil && *c.Started {
				continue
			}
		} else {
			s.count(c)
		}
		switch {
		case busy, c.State.Terminated != nil && c.State.Terminated.ExitCode == 0:
			continue
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			s.status = "Init:" + c.State.Terminated.Reason
		case c.State.Terminated != nil:
			s.status = "Init:" + exitText(c.State.Terminated)
		case c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "PodInitializing":
			s.status = "Init:" + c.State.Waiting.Reason
		default:
			s.status = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		busy = true
	}
	return busy
}

// main looks at the containers proper: the first in trouble names the status.
func (s *summary) main(p *corev1.Pod) {
	s.restarts = restartsOfSidecars(p)
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := p.Status.ContainerStatuses[i]
		s.count(c)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			s.status = c.State.Waiting.Reason
		case c.State.Terminated != nil && c.State.Terminated.Reason != "":
			s.status = c.State.Terminated.Reason
		case c.State.Terminated != nil:
			s.status = exitText(c.State.Terminated)
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.status == "Completed" && running {
		s.status = "NotReady"
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				s.status = "Running"
			}
		}
	}
}

// restartsOfSidecars are the restarts that still count once initialization is over.
func restartsOfSidecars(p *corev1.Pod) int32 {
	var n int32
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		for _, st := range p.Status.InitContainerStatuses {
			if st.Name == c.Name {
				n += st.RestartCount
			}
		}
	}
	return n
}

func (s *summary) count(c corev1.ContainerStatus) {
	s.restarts += c.RestartCount
	if t := c.LastTerminationState.Terminated; t != nil && s.lastRestart.Before(&t.FinishedAt) {
		s.lastRestart = t.FinishedAt
	}
}

func exitText(t *corev1.ContainerStateTerminated) string {
	if t.Signal != 0 {
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func initialized(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodInitialized {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return none
	}
	met := 0
	for _, g := range p.Spec.ReadinessGates {
		for _, c := range p.Status.Conditions {
			if c.Type == g.ConditionType && c.Status == corev1.ConditionTrue {
				met++
			}
		}
	}
	return count(met, len(p.Spec.ReadinessGates))
}
