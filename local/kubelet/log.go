package kubelet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// logFile is the output of one run: a file of lines, each behind the time at
// which it came.
type logFile struct {
	path string

	mu    sync.Mutex
	file  *os.File      // guarded by mu
	ends  []*lineWriter // guarded by mu; used by close, when nobody writes any more
	grown chan struct{} // guarded by mu: closed at the next change
	done  bool          // guarded by mu
}

func (c *container) logPath(restart int32) string {
	return filepath.Join(c.w.dir, "logs", fmt.Sprintf("%s.%d", c.spec.Name, restart))
}

// newLog opens the log of a run. Only the run before keeps its own.
func newLog(path string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &logFile{path: path, file: file, grown: make(chan struct{})}, nil
}

// writer takes one stream of output and writes whole lines.
func (l *logFile) writer() io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &lineWriter{log: l}
	l.ends = append(l.ends, w)
	return w
}

type lineWriter struct {
	log  *logFile
	part []byte
}

// Write implements [io.Writer].
func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	end := bytes.LastIndexByte(w.part, '\n')
	if end < 0 && len(w.part) < 16<<10 {
		return len(p), nil
	}
	if end < 0 {
		w.part = append(w.part, '\n')
		end = len(w.part) - 1
	}
	stamp := time.Now().UTC().Format(time.RFC3339Nano)
	var out []byte
	for line := range bytes.Lines(w.part[:end+1]) {
		out = append(append(append(out, stamp...), ' '), line...)
	}
	w.part = append([]byte(nil), w.part[end+1:]...)
	w.log.append(out)
	return len(p), nil
}

func (l *logFile) append(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	_, _ = l.file.Write(p) // a full disk must not stop the container
	close(l.grown)
	l.grown = make(chan struct{})
}

// close ends the file, with what is left of unfinished lines.
func (l *logFile) close() {
	l.mu.Lock()
	ends := l.ends
	l.mu.Unlock()
	for _, w := range ends {
		if len(w.part) > 0 {
			_, _ = w.Write([]byte("\n")) // as append
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.Close()
	l.file, l.done = nil, true
	close(l.grown)
	l.grown = make(chan struct{})
}

// state is whether more may come, and a channel that tells when it has.
func (l *logFile) state() (more <-chan struct{}, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grown, l.done
}

// Logs implements the API server's Containers.
func (k *Kubelet) Logs(ctx context.Context, pod *corev1.Pod, opts *corev1.PodLogOptions) (io.ReadCloser, error) {
	w, err := k.find(pod)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	c := w.state[opts.Container]
	w.mu.Unlock()
	if c == nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start", opts.Container, pod.Name))
	}
	c.mu.Lock()
	n, running := c.restarts, c.run
	c.mu.Unlock()
	if opts.Previous {
		if n == 0 {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", opts.Container, pod.Name))
		}
		n, running = n-1, nil
	}
	file, err := os.Open(c.logPath(n))
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start", opts.Container, pod.Name))
	}
	text, err := io.ReadAll(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	from, to := io.Pipe()
	go func() {
		defer file.Close()
		to.CloseWithError(copyLog(ctx, to, file, selected(string(text), opts), running, opts))
	}()
	return from, nil
}

// selected are the lines that the options ask for.
func selected(text string, opts *corev1.PodLogOptions) []string {
	lines := strings.SplitAfter(text, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	since := time.Time{}
	if opts.SinceSeconds != nil {
		since = time.Now().Add(-time.Duration(*opts.SinceSeconds) * time.Second)
	} else if opts.SinceTime != nil {
		since = opts.SinceTime.Time
	}
	for len(lines) > 0 && stampOf(lines[0]).Before(since) {
		lines = lines[1:]
	}
	if opts.TailLines != nil && int64(len(lines)) > *opts.TailLines {
		lines = lines[int64(len(lines))-*opts.TailLines:]
	}
	return lines
}

func stampOf(line string) time.Time {
	stamp, _, _ := strings.Cut(line, " ")
	t, _ := time.Parse(time.RFC3339Nano, stamp)
	return t
}

func copyLog(ctx context.Context, to io.Writer, file *os.File, lines []string, r *run, opts *corev1.PodLogOptions) error {
	write := func(line string) error {
		if !opts.Timestamps {
			_, line, _ = strings.Cut(line, " ")
		}
		_, err := io.WriteString(to, line)
		return err
	}
	for _, line := range lines {
		if err := write(line); err != nil {
			return err
		}
	}
	if !opts.Follow || r == nil {
		return nil
	}
	part := ""
	buf := make([]byte, 16<<10)
	for {
		more, done := r.log.state()
		n, err := file.Read(buf)
		part += string(buf[:n])
		for {
			line, rest, whole := strings.Cut(part, "\n")
			if !whole {
				break
			}
			if err := write(line + "\n"); err != nil {
				return err
			}
			part = rest
		}
		if n > 0 {
			continue
		}
		if done || err != nil && err != io.EOF {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}
