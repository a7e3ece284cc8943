package apiserver

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Containers reaches the containers of running pods. Whoever runs the pods
// implements it. The pod is as stored now, and container is one of its containers
// (init containers included): both were checked. Methods block until done, or ctx
// ends because the client went away, and may be called at the same time.
//
// An error that carries a Kubernetes status (made by apimachinery's api/errors) is
// passed to the client as it is, any other as an internal error.
type Containers interface {
	// Logs opens the output of a container: stdout and stderr as one stream of lines.
	// The reader honours opts: with Follow it ends when the container does, Previous
	// reads the run before the last restart, Timestamps prefixes lines with an RFC3339Nano
	// time and a space. The caller closes the reader.
	Logs(ctx context.Context, pod *corev1.Pod, opts *corev1.PodLogOptions) (io.ReadCloser, error)
	// Exec runs a command beside a container's process and returns when it ends. A non-zero
	// exit status is returned as [ExitStatus].
	Exec(ctx context.Context, pod *corev1.Pod, container string, command []string, streams Streams) error
	// Attach connects to the container's first process until that ends or the client leaves.
	Attach(ctx context.Context, pod *corev1.Pod, container string, streams Streams) error
	// PortForward copies between conn and the given port of the pod until either side closes.
	PortForward(ctx context.Context, pod *corev1.Pod, port int32, conn io.ReadWriteCloser) error
}

// Streams are the client's ends of a command. Those that it did not ask for are nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.WriteCloser
	// TTY asks for a terminal: Stderr is nil then, and Resize tells its size.
	TTY bool
	// Resize is nil without a terminal. It is closed when the client leaves.
	Resize <-chan TerminalSize
}

// TerminalSize is the size of a terminal in characters.
type TerminalSize = remotecommand.TerminalSize

// ExitStatus is the error of a command that ended with a non-zero status.
type ExitStatus int

// Error says how the command ended.
func (e ExitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// String is the same as Error, for the streaming protocol.
func (e ExitStatus) String() string { return e.Error() }

// Exited is true: the command ran to its end.
func (e ExitStatus) Exited() bool { return true }

// ExitStatus is the status as a number.
func (e ExitStatus) ExitStatus() int { return int(e) }
