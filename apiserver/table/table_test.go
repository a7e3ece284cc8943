package table

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func waiting(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

func ended(code int32, reason string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
}

var running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}

// The status of a pod is that of the container which is in trouble, as kubectl's users know it.
func TestPodRow(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	started := true
	initialized := []corev1.PodCondition{{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}}
	main := corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}
	withInit := corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: main.Containers}
	withSidecar := corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", RestartPolicy: &always}}, Containers: main.Containers}
	tests := []struct {
		name string
		pod  corev1.Pod
		want string // ready, status, restarts
	}{
		{"new", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Pending"}}, "0/2 Pending 0"},
		{"creating", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Pending", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", State: waiting("ContainerCreating")}, {Name: "b", State: waiting("ContainerCreating")}}}}, "0/2 ContainerCreating 0"},
		{"running", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", Ready: true, State: running}, {Name: "b", Ready: true, State: running}}}}, "2/2 Running 0"},
		{"no image", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Pending", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", State: waiting("ImagePullBackOff")}, {Name: "b", Ready: true, State: running}}}}, "1/2 ImagePullBackOff 0"},
		{"crashing", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", RestartCount: 4, State: waiting("CrashLoopBackOff")}, {Name: "b", Ready: true, State: running}}}}, "1/2 CrashLoopBackOff 4"},
		{"initializing", corev1.Pod{Spec: withInit, Status: corev1.PodStatus{Phase: "Pending", InitContainerStatuses: []corev1.ContainerStatus{
			{Name: "i", State: running}}}}, "0/2 Init:0/1 0"},
		{"init failed", corev1.Pod{Spec: withInit, Status: corev1.PodStatus{Phase: "Pending", InitContainerStatuses: []corev1.ContainerStatus{
			{Name: "i", RestartCount: 1, State: ended(1, "Error")}}}}, "0/2 Init:Error 1"},
		{"init done", corev1.Pod{Spec: withInit, Status: corev1.PodStatus{Phase: "Running", Conditions: initialized,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", State: ended(0, "Completed")}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "a", Ready: true, State: running}, {Name: "b", State: running}}}}, "1/2 Running 0"},
		{"sidecar", corev1.Pod{Spec: withSidecar, Status: corev1.PodStatus{Phase: "Running", Conditions: initialized,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "i", Ready: true, Started: &started, RestartCount: 2, State: running}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "a", Ready: true, State: running}, {Name: "b", Ready: true, State: running}}}}, "3/3 Running 2"},
		{"completed", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Succeeded", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", State: ended(0, "Completed")}, {Name: "b", State: ended(0, "Completed")}}}}, "0/2 Completed 0"},
		{"killed", corev1.Pod{Spec: main, Status: corev1.PodStatus{Phase: "Failed", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "a", State: ended(137, "")}, {Name: "b", State: ended(0, "Completed")}}}}, "0/2 ExitCode:137 0"},
		{"terminating", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: time.Now()}}, Spec: main,
			Status: corev1.PodStatus{Phase: "Running", ContainerStatuses: []corev1.ContainerStatus{{Name: "a", Ready: true, State: running}}}}, "1/2 Terminating 0"},
	}
	for _, test := range tests {
		row := Pod.Row(&test.pod)
		if got := fmt.Sprint(row[1], " ", row[2], " ", row[3]); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
		if len(row) != len(Pod.Columns) {
			t.Errorf("got %d cells in %d columns", len(row), len(Pod.Columns))
		}
	}
}

func TestServiceRow(t *testing.T) {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1", Selector: map[string]string{"b": "2", "a": "1"},
		Ports: []corev1.ServicePort{{Port: 80, NodePort: 31387, Protocol: "TCP"}, {Port: 53, Protocol: "UDP"}},
	}}
	got := strings.Fields(fmt.Sprintln(Service.Row(svc)...))
	if want := "web LoadBalancer 10.0.0.1 <pending> 80:31387/TCP,53/UDP <unknown> a=1,b=2"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "127.0.0.1"}}
	if got := Service.Row(svc)[3]; got != "127.0.0.1" {
		t.Errorf("got %v, want 127.0.0.1", got)
	}
}
