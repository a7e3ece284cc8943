package apiserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

// pod reads the pod of the request for [Containers].
func (s *Server) pod(r *request) (*corev1.Pod, error) {
	if s.cfg.Containers == nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusNotImplemented, r.subresource, r.kind.GroupResource(), r.name,
			"this api runs no pods: nobody answers for their containers", 0, true)
	}
	o, ok := s.store.Get(r.key())
	if !ok {
		return nil, r.notFound()
	}
	return kind.From[corev1.Pod](o.Content())
}

// container settles which container is meant, as kubectl's users expect: the
// annotated default, or the only one.
func container(pod *corev1.Pod, name string) (string, error) {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	all := slices.Clone(names)
	var inits []string
	for _, c := range pod.Spec.InitContainers {
		inits = append(inits, c.Name)
	}
	all = append(all, inits...)
	if name == "" {
		if d := pod.Annotations["kubectl.kubernetes.io/default-container"]; d != "" && slices.Contains(all, d) {
			return d, nil
		}
		if len(names) == 1 {
			return names[0], nil
		}
		why := fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", pod.Name, strings.Join(names, " "))
		if len(inits) > 0 {
			why += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(inits, " "))
		}
		return "", apierrors.NewBadRequest(why)
	}
	if !slices.Contains(all, name) {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	}
	return name, nil
}

// stream serves exec, attach and port-forward, over SPDY or WebSocket.
func (s *Server) stream(w http.ResponseWriter, r *request) error {
	pod, err := s.pod(r)
	if err != nil {
		return err
	}
	if err := checkWebSocket(r.http); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.http.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	h := r.http.WithContext(ctx)
	uid := string(pod.UID)
	if r.subresource == "portforward" {
		opts, err := portforward.NewV4Options(h)
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		portforward.ServePortForward(w, h, podStreams{s, pod}, pod.Name, uid, opts, streamIdle, 30*time.Second, portforward.SupportedProtocols)
		return nil
	}
	name, err := container(pod, r.query.Get("container"))
	if err != nil {
		return err
	}
	opts, err := remoteOptions(r)
	if err != nil {
		return err
	}
	streams := podStreams{s, pod}
	if r.subresource == "attach" {
		remotecommand.ServeAttach(w, h, streams, pod.Name, uid, name, opts, streamIdle, 30*time.Second, remotecommand.SupportedStreamingProtocols)
		return nil
	}
	command := r.query["command"]
	if len(command) == 0 {
		return apierrors.NewBadRequest("you must specify at least one command for the container")
	}
	remotecommand.ServeExec(w, h, streams, pod.Name, uid, name, command, opts, streamIdle, 30*time.Second, remotecommand.SupportedStreamingProtocols)
	return nil
}

// webSocketProtocols are those that carry streams over WebSocket here. kubectl asks for
// newer ones first and falls back to SPDY when they are refused.
var webSocketProtocols = []string{"", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"}

func checkWebSocket(h *http.Request) error {
	if !strings.EqualFold(h.Header.Get("Upgrade"), "websocket") {
		return nil
	}
	asked := h.Header.Get("Sec-WebSocket-Protocol")
	for _, p := range strings.Split(asked, ",") {
		if slices.Contains(webSocketProtocols, strings.TrimSpace(p)) {
			return nil
		}
	}
	return apierrors.NewBadRequest(fmt.Sprintf("unable to upgrade: unsupported WebSocket protocol %q", asked))
}

func remoteOptions(r *request) (*remotecommand.Options, error) {
	on := func(name string) bool { return isTrue(r.query.Get(name)) }
	opts := &remotecommand.Options{Stdin: on("stdin"), Stdout: on("stdout"), Stderr: on("stderr"), TTY: on("tty")}
	if opts.TTY {
		opts.Stderr = false // a terminal has one output
	}
	if !opts.Stdin && !opts.Stdout && !opts.Stderr {
		return nil, apierrors.NewBadRequest("you must specify at least 1 of stdin, stdout, stderr")
	}
	return opts, nil
}

// podStreams leads streams to the [Containers] of the server.
type podStreams struct {
	server *Server
	pod    *corev1.Pod
}

var (
	_ remotecommand.Executor    = podStreams{}
	_ remotecommand.Attacher    = podStreams{}
	_ portforward.PortForwarder = podStreams{}
)

// ExecInContainer implements remotecommand.Executor.
func (p podStreams) ExecInContainer(ctx context.Context, _, _, container string, cmd []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan TerminalSize, _ time.Duration) error {
	return p.server.cfg.Containers.Exec(ctx, p.pod, container, cmd, Streams{in, out, err, tty, resize})
}

// AttachContainer implements remotecommand.Attacher.
func (p podStreams) AttachContainer(ctx context.Context, _, _, container string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan TerminalSize) error {
	return p.server.cfg.Containers.Attach(ctx, p.pod, container, Streams{in, out, err, tty, resize})
}

// PortForward implements portforward.PortForwarder.
func (p podStreams) PortForward(ctx context.Context, _, _ string, port int32, conn io.ReadWriteCloser) error {
	return p.server.cfg.Containers.PortForward(ctx, p.pod, port, conn)
}
