package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	ossignal "os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/lateenmesh/lateen/apiserver"
)

// TestMain is also the containers' program: one that serves its environment and
// its files, one that fails, one that ends well.
func TestMain(m *testing.M) {
	switch os.Getenv("KUBELET_TEST_APP") {
	case "serve":
		serve()
	case "fail":
		fmt.Print("no newline at the end")
		os.Exit(3)
	case "done":
		fmt.Println("done")
	default:
		os.Exit(m.Run())
	}
}

func serve() {
	stop := make(chan os.Signal, 1)
	ossignal.Notify(stop, syscall.SIGTERM)
	http.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Environ()) })
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(os.Getenv("LATEEN_ROOT") + r.URL.Query().Get("path"))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write(text)
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(4) })
	l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")))
	if err != nil {
		panic(err)
	}
	fmt.Println("serving")
	go func() { _ = http.Serve(l, nil) }()
	<-stop
	fmt.Println("stopped in order")
}

// home is an API in memory with a kubelet on it.
type home struct {
	*kubernetes.Clientset
	kubelet *Kubelet
	t       *testing.T
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{t: t}
	containers := &struct{ *Kubelet }{}
	api, err := apiserver.New(apiserver.Config{Containers: containers})
	if err != nil {
		t.Fatal(err)
	}
	config := api.RESTConfig()
	config.QPS = -1
	if h.Clientset, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	h.kubelet = New(Config{
		Kube: h, Node: "here", Dir: t.TempDir(), Pods: netip.MustParsePrefix("127.63.0.0/17"), CA: []byte("ca"),
		API: netip.MustParseAddrPort("127.63.255.253:6443"), Nameserver: netip.MustParseAddrPort("127.63.255.253:5353"),
		Mixed: netip.MustParseAddrPort("127.63.255.253:15080"), LowPorts: 61000, Program: program,
	})
	containers.Kubelet = h.kubelet
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.kubelet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		api.Close()
	})
	_, err = h.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func program(image string) (Program, error) {
	if image == "unknown" {
		return Program{}, errors.New("map it")
	}
	return Program{Command: []string{os.Args[0]}, Ports: []int32{8080}, Env: map[string]string{"KUBELET_TEST_APP": image},
		Applets: map[string][]string{"hello-applet": {"echo", "hello"}}}, nil
}

func (h *home) pod(spec corev1.PodSpec) *corev1.Pod {
	h.t.Helper()
	pod, err := h.CoreV1().Pods("default").Create(h.t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"app": "shop"}}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	return pod
}

// until waits for the pod to be as claimed, or to be gone (nil).
func (h *home) until(what string, holds func(*corev1.Pod) bool) *corev1.Pod {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	list, err := h.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	var last *corev1.Pod
	if len(list.Items) > 0 {
		last = &list.Items[0]
	}
	if holds(last) {
		return last
	}
	events, err := h.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		h.t.Fatal(err)
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		last, _ = e.Object.(*corev1.Pod)
		if e.Type == watch.Deleted {
			last = nil
		}
		if holds(last) {
			return last
		}
	}
	text, _ := json.MarshalIndent(last, "", " ")
	h.t.Fatalf("the pod never was %s: %s", what, text)
	return nil
}

func ready(pod *corev1.Pod) bool {
	if pod == nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func get(t *testing.T, pod *corev1.Pod, port int, path string) string {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s:%d%s", pod.Status.PodIP, port, path))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

func (h *home) logs(pod *corev1.Pod, opts corev1.PodLogOptions) string {
	h.t.Helper()
	opts.Container = "main"
	r, err := h.kubelet.Logs(h.t.Context(), pod, &opts)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	text, _ := io.ReadAll(r)
	return string(text)
}

func TestPodServesAtItsAddress(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "serve", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
		Env: []corev1.EnvVar{
			{Name: "WHO", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "HELLO", Value: "hello $(WHO) $$(WHO) $(NOBODY)"},
		},
	}}})
	pod := h.until("ready", ready)
	if pod.Spec.NodeName != "here" || pod.Status.Phase != corev1.PodRunning || pod.Status.HostIP != "127.0.0.1" || pod.Status.StartTime == nil {
		t.Errorf("got node %q and status %+v", pod.Spec.NodeName, pod.Status)
	}
	if c := pod.Status.ContainerStatuses[0]; !c.Ready || c.State.Running == nil || !strings.HasPrefix(c.ContainerID, "process://") {
		t.Errorf("got container status %+v", c)
	}
	var env []string
	for { // there is no probe: the program may not listen yet
		resp, err := http.Get("http://" + pod.Status.PodIP + ":61080/env")
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&env)
			resp.Body.Close()
		}
		if err == nil {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	has := map[string]bool{}
	port := ""
	for _, e := range env {
		has[e] = true
		if p, ok := strings.CutPrefix(e, "PORT="); ok {
			port = p
		}
	}
	for _, want := range []string{"WHO=shop", "HELLO=hello shop $(WHO) $(NOBODY)", "HOST=127.0.0.1", "PORT_80=" + port, "HOSTNAME=shop", "POD_IP=" + pod.Status.PodIP,
		"KUBERNETES_SERVICE_HOST=127.63.255.253", "LATEEN_NAMESERVER=127.63.255.253:5353", "LATEEN_LOW_PORTS=61000",
		"http_proxy=http://127.63.255.253:15080", "ALL_PROXY=socks5h://127.63.255.253:15080", "no_proxy=localhost,127.0.0.1"} {
		if !has[want] {
			t.Errorf("the program was not told %s; it has %q", want, env)
		}
	}
}

func TestVolumesAreFiles(t *testing.T) {
	h := newHome(t)
	seconds := int64(600)
	h.pod(corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "main", Image: "serve", ReadinessProbe: probe("/env"),
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}, {Name: "info", MountPath: "/etc/info"}, {Name: "token", MountPath: "/var/run/secrets/tokens"}, {Name: "none", MountPath: "/none"}},
		}},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}}}},
			{Name: "none", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none", Optional: new(true)}}},
			{Name: "info", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
			{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "istio-ca", ExpirationSeconds: &seconds, Path: "istio-token"}}}}}},
		},
	})
	h.until("waiting for its volume", func(p *corev1.Pod) bool {
		return p != nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil && strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, `"late"`)
	})
	_, err := h.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Data: map[string]string{"a": "one"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := h.until("ready", ready)
	h.kubelet.mu.Lock()
	if n := len(h.kubelet.ports); n != 1 {
		t.Errorf("%d private ports are taken, want 1", n)
	}
	h.kubelet.mu.Unlock()
	for path, want := range map[string]string{"/etc/config/a": "one", "/etc/info/labels": "app=\"shop\"\n", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt": "ca"} {
		if got := get(t, pod, 8080, "/file?path="+path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := get(t, pod, 8080, "/file?path=/var/run/secrets/tokens/istio-token"); strings.Count(got, ".") != 2 {
		t.Errorf("got %q, want a token", got)
	}
}

func probe(path string) *corev1.Probe {
	p := &corev1.Probe{}
	p.HTTPGet = &corev1.HTTPGetAction{Path: path}
	p.HTTPGet.Port.IntVal = 8080
	return p
}

func TestProgramThatEndsIsStartedAgain(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "serve", ReadinessProbe: probe("/env")}}})
	pod := h.until("ready", ready)
	if resp, err := http.Get("http://" + pod.Status.PodIP + ":8080/exit"); err == nil {
		resp.Body.Close()
	}
	pod = h.until("ready again", func(p *corev1.Pod) bool { return ready(p) && p.Status.ContainerStatuses[0].RestartCount == 1 })
	if last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 4 {
		t.Errorf("got %+v, want exit code 4", last)
	}
	if got := h.logs(pod, corev1.PodLogOptions{Previous: true}); got != "serving\n" {
		t.Errorf("the run before: got %q", got)
	}
}

func TestProgramThatFailsBacksOff(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "fail"}}})
	pod := h.until("backing off", func(p *corev1.Pod) bool {
		if p == nil || len(p.Status.ContainerStatuses) == 0 {
			return false
		}
		w := p.Status.ContainerStatuses[0].State.Waiting
		return w != nil && w.Reason == "CrashLoopBackOff" && strings.HasPrefix(w.Message, "back-off 10s")
	})
	if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.LastTerminationState.Terminated.ExitCode != 3 {
		t.Errorf("got %+v", c)
	}
	if got := h.logs(pod, corev1.PodLogOptions{}); got != "no newline at the end\n" {
		t.Errorf("got log %q", got)
	}
}

func TestPodRunsToItsEnd(t *testing.T) {
	for image, want := range map[string]corev1.PodPhase{"done": corev1.PodSucceeded, "fail": corev1.PodFailed} {
		t.Run(image, func(t *testing.T) {
			h := newHome(t)
			h.pod(corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: []corev1.Container{{Name: "init", Image: "done"}}, Containers: []corev1.Container{{Name: "main", Image: image}}})
			pod := h.until(string(want), func(p *corev1.Pod) bool { return p != nil && p.Status.Phase == want })
			if c := pod.Status.InitContainerStatuses[0]; !c.Ready || c.State.Terminated == nil || c.State.Terminated.Reason != "Completed" {
				t.Errorf("init container: %+v", c)
			}
		})
	}
}

func TestInitContainerThatFailsForGoodFailsThePod(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, InitContainers: []corev1.Container{{Name: "init", Image: "fail"}}, Containers: []corev1.Container{{Name: "main", Image: "done"}}})
	pod := h.until("failed", func(p *corev1.Pod) bool { return p != nil && p.Status.Phase == corev1.PodFailed })
	if c := pod.Status.ContainerStatuses[0]; c.State.Waiting == nil || c.State.Waiting.Reason != "PodInitializing" {
		t.Errorf("the container behind it: %+v", c)
	}
}

func TestMissingVariableIsAwaited(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "done", Env: []corev1.EnvVar{
		{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}, Key: "a"}}}}}}})
	h.until("waiting", func(p *corev1.Pod) bool {
		return p != nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil && p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	_, err := h.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Data: map[string][]byte{"a": []byte("b")}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := h.until("succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
		t.Errorf("got %d restarts for a wait", n)
	}
}

func TestUnknownImageSaysWhatToDo(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "unknown"}}})
	h.until("ImagePullBackOff", func(p *corev1.Pod) bool {
		if p == nil || len(p.Status.ContainerStatuses) == 0 {
			return false
		}
		w := p.Status.ContainerStatuses[0].State.Waiting
		return w != nil && w.Reason == "ImagePullBackOff" && strings.Contains(w.Message, "map it")
	})
}

func TestDeletedPodEndsInOrder(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "serve", ReadinessProbe: probe("/env")}}})
	pod := h.until("ready", ready)
	follow, err := h.kubelet.Logs(t.Context(), pod, &corev1.PodLogOptions{Container: "main", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer follow.Close()
	if err := h.CoreV1().Pods("default").Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(follow)
	if got, want := string(text), "serving\nstopped in order\n"; got != want {
		t.Errorf("got log %q, want %q", got, want)
	}
	h.until("gone", func(p *corev1.Pod) bool { return p == nil })
}

func TestPodDeletedAtOnceLeavesNothing(t *testing.T) {
	h := newHome(t)
	for range 5 {
		h.pod(corev1.PodSpec{TerminationGracePeriodSeconds: new(int64(1)), Containers: []corev1.Container{{Name: "main", Image: "serve"}}})
		h.until("scheduled", func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
		if err := h.CoreV1().Pods("default").Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		h.until("gone", func(p *corev1.Pod) bool { return p == nil })
	}
}

func TestExecRunsBesideTheProgram(t *testing.T) {
	h := newHome(t)
	h.pod(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "serve"}}})
	pod := h.until("ready", ready)
	for _, tc := range []struct {
		command []string
		out     string
		code    int
	}{
		{[]string{"sh", "-c", "echo $HOSTNAME; exit 7"}, "shop\n", 7},
		{[]string{"cat"}, "in", 0},
		{[]string{"hello-applet", "you"}, "hello you\n", 0},
	} {
		var out strings.Builder
		err := h.kubelet.Exec(t.Context(), pod, "main", tc.command, apiserver.Streams{Stdin: strings.NewReader("in"), Stdout: nopCloser{&out}})
		var status apiserver.ExitStatus
		if errors.As(err, &status); int(status) != tc.code || err != nil && tc.code == 0 {
			t.Errorf("%q: got %v, want status %d", tc.command, err, tc.code)
		}
		if out.String() != tc.out {
			t.Errorf("%q: got %q, want %q", tc.command, out.String(), tc.out)
		}
	}
	if err := h.kubelet.Exec(t.Context(), pod, "main", []string{"no-such-program"}, apiserver.Streams{}); err == nil || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("got %v", err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
