package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lateenmesh/lateen/apiserver"
)

// beside makes a command that runs as if in the container: its environment, its
// root. A program that is not on the PATH is looked for among the image's own.
func (c *container) beside(ctx context.Context, argv []string) (*exec.Cmd, error) {
	c.mu.Lock()
	env, r := c.env, c.run
	c.mu.Unlock()
	if r == nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("container %s is not running", c.spec.Name))
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		if applet, ok := c.w.programs[c.spec.Name].Applets[argv[0]]; ok {
			argv = append(append([]string{}, applet...), argv[1:]...)
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, c.w.rootOf(c.spec.Name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd, nil
}

// execute runs a command for a probe or a hook.
func (c *container) execute(ctx context.Context, argv []string) error {
	cmd, err := c.beside(ctx, argv)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a child that keeps the output open must not keep us
	if err := c.w.runBeside(cmd); err != nil {
		return fmt.Errorf("command %q: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// runBeside starts a command and waits for it.
func (k *Kubelet) runBeside(cmd *exec.Cmd) error {
	if err := k.spawn(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

func (k *Kubelet) container(pod *corev1.Pod, name string) (*container, error) {
	w, err := k.find(pod)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.state[name]; c != nil {
		return c, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("container %s has not been created yet", name))
}

// Exec implements the API server's Containers. A terminal is not offered: the
// command's streams are pipes.
func (k *Kubelet) Exec(ctx context.Context, pod *corev1.Pod, name string, command []string, streams apiserver.Streams) error {
	c, err := k.container(pod, name)
	if err != nil {
		return err
	}
	cmd, err := c.beside(ctx, command)
	if err != nil {
		return err
	}
	if streams.Stdout != nil {
		cmd.Stdout = streams.Stdout
	}
	switch {
	case streams.Stderr != nil:
		cmd.Stderr = streams.Stderr
	case streams.TTY && streams.Stdout != nil:
		cmd.Stderr = streams.Stdout
	}
	if streams.Stdin != nil {
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		// Ends with the client's stream; the command does not wait for it.
		go func() {
			_, _ = io.Copy(in, streams.Stdin)
			in.Close()
		}()
	}
	err = c.w.runBeside(cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return apiserver.ExitStatus(code)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return apierrors.NewBadRequest(fmt.Sprintf("%s: no such program on this machine", command[0]))
	}
	return err
}

// Attach implements the API server's Containers.
func (k *Kubelet) Attach(context.Context, *corev1.Pod, string, apiserver.Streams) error {
	return apierrors.NewBadRequest("attach is not supported on one machine: use logs -f, or exec")
}

// PortForward implements the API server's Containers.
func (k *Kubelet) PortForward(ctx context.Context, pod *corev1.Pod, port int32, client io.ReadWriteCloser) error {
	defer client.Close()
	w, err := k.find(pod)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.localPort(port))
	if err != nil {
		return fmt.Errorf("forward to port %d of pod %s: %w", port, pod.Name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(conn, client)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(client, conn)
	client.Close()
	<-up
	return err
}

var _ apiserver.Containers = (*Kubelet)(nil)
