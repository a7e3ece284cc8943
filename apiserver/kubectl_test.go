package apiserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"

	"github.com/lateenmesh/lateen/apiserver"
	"github.com/lateenmesh/lateen/internal/istiocrd"
)

// kubectl is the path of the real kubectl. Where there is none the test is
// skipped, except on CI, where it fails.
func kubectl(t *testing.T) string {
	t.Helper()
	name := os.Getenv("LATEEN_KUBECTL")
	if name == "" {
		name = "kubectl"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("kubectl is required on CI: %v", err)
	}
	t.Skipf("SKIPPED, NOT CHECKED WITH THE REAL kubectl: %v (Debian: kubernetes-client; or set LATEEN_KUBECTL)", err)
	return ""
}

// serve runs a server on a loopback port and writes its kubeconfig into dir. It
// stops with the test.
func serve(t testing.TB, dir string, cfg apiserver.Config) (*apiserver.Server, string) {
	t.Helper()
	s, err := apiserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Started():
	case err := <-done:
		t.Fatal(err)
	}
	content, err := s.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, path
}

// TestKubectl runs the scripts in testdata/kubectl: what users type, against a
// fresh server each.
func TestKubectl(t *testing.T) {
	path := kubectl(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/kubectl",
		Setup: func(env *testscript.Env) error {
			_, config := serve(env.T().(testing.TB), env.WorkDir, apiserver.Config{
				CRDs: istiocrd.All(), ServiceCIDR: netip.MustParsePrefix("127.64.128.0/17"), Containers: fakeContainers{},
			})
			bin := filepath.Join(env.WorkDir, ".bin")
			if err := os.Mkdir(bin, 0o755); err != nil {
				return err
			}
			if err := os.Symlink(path, filepath.Join(bin, "kubectl")); err != nil {
				return err
			}
			env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
			env.Setenv("KUBECONFIG", config)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}

// fakeContainers stands in for whoever runs pods.
type fakeContainers struct{}

func (fakeContainers) Logs(ctx context.Context, pod *corev1.Pod, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
	text := fmt.Sprintf("%s/%s says hello\n", pod.Name, opts.Container)
	switch {
	case opts.Previous:
		text = "the life before\n"
	case opts.TailLines != nil:
		text = fmt.Sprintf("the last %d lines\n", *opts.TailLines)
	case opts.SinceSeconds != nil:
		text = fmt.Sprintf("the last %d seconds\n", *opts.SinceSeconds)
	}
	if opts.Timestamps {
		text = "2026-01-02T03:04:05.000000006Z " + text
	}
	if !opts.Follow {
		return io.NopCloser(strings.NewReader(text)), nil
	}
	out, in := io.Pipe()
	go func() {
		for _, part := range []string{text, "more\n"} {
			if _, err := io.WriteString(in, part); err != nil {
				return
			}
		}
		in.Close()
	}()
	return out, nil
}

func (fakeContainers) Exec(ctx context.Context, pod *corev1.Pod, container string, command []string, s apiserver.Streams) error {
	switch command[0] {
	case "false":
		return apiserver.ExitStatus(3)
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return err
	case "complain":
		fmt.Fprintln(s.Stderr, "oh no")
		return nil
	}
	_, err := fmt.Fprintln(s.Stdout, pod.Name, container, strings.Join(command, " "))
	return err
}

func (fakeContainers) Attach(ctx context.Context, pod *corev1.Pod, container string, s apiserver.Streams) error {
	_, err := fmt.Fprintln(s.Stdout, "attached to", container)
	return err
}

func (fakeContainers) PortForward(ctx context.Context, pod *corev1.Pod, port int32, conn io.ReadWriteCloser) error {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "port %d heard %s", port, line)
	return err
}

// kubectl port-forward carries bytes to the asked port of a pod.
func TestKubectlPortForward(t *testing.T) {
	path := kubectl(t)
	dir := t.TempDir()
	s, config := serve(t, dir, apiserver.Config{Containers: fakeContainers{}})
	createPod(t, s, "web")
	cmd := exec.Command(path, "--kubeconfig", config, "port-forward", "pod/web", ":8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	// Forwarding from 127.0.0.1:37211 -> 8080
	address := strings.Fields(line)[2]
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(conn, "ping")
	got, err := bufio.NewReader(conn).ReadString('\n')
	if want := "port 8080 heard ping\n"; got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// kubectl get -w prints what is there and then every change.
func TestKubectlWatch(t *testing.T) {
	path := kubectl(t)
	s, config := serve(t, t.TempDir(), apiserver.Config{})
	createPod(t, s, "first")
	cmd := exec.Command(path, "--kubeconfig", config, "get", "pods", "-w", "--output-watch-events")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("kubectl ended: %v", lines.Err())
		}
		if got := strings.Join(strings.Fields(lines.Text())[:5], " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect("EVENT NAME READY STATUS RESTARTS")
	expect("ADDED first 0/1 Running 0")
	if err := clientset(t, s).CoreV1().Pods("default").Delete(context.Background(), "first", seconds(30)); err != nil {
		t.Fatal(err)
	}
	expect("MODIFIED first 0/1 Terminating 0")
	if err := clientset(t, s).CoreV1().Pods("default").Delete(context.Background(), "first", seconds(0)); err != nil {
		t.Fatal(err)
	}
	expect("DELETED first 0/1 Terminating 0")
}
