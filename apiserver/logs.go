package apiserver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// logs streams the output of a container.
func (s *Server) logs(w http.ResponseWriter, r *request) error {
	pod, err := s.pod(r)
	if err != nil {
		return err
	}
	opts, err := logOptions(r)
	if err != nil {
		return err
	}
	if opts.Container, err = container(pod, opts.Container); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.http.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	out, err := s.cfg.Containers.Logs(ctx, pod, opts)
	if err != nil {
		return err
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { out.Close() })() // a client that leaves ends a blocked read
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	var from io.Reader = out
	if opts.LimitBytes != nil {
		from = io.LimitReader(out, *opts.LimitBytes)
	}
	copyFlushing(w, from)
	return nil
}

// copyFlushing copies until either side ends, and lets the client see every piece at once.
func copyFlushing(w http.ResponseWriter, from io.Reader) {
	flusher, _ := w.(http.Flusher)
	if flusher != nil {
		flusher.Flush()
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			if flusher != nil {
				flusher.Flush()
			}
		}
		if err != nil {
			return // the answer has begun: an error cannot be told any more
		}
	}
}

func logOptions(r *request) (*corev1.PodLogOptions, error) {
	q := r.query
	opts := &corev1.PodLogOptions{
		Container: q.Get("container"), Follow: isTrue(q.Get("follow")),
		Previous: isTrue(q.Get("previous")), Timestamps: isTrue(q.Get("timestamps")),
	}
	var errs field.ErrorList
	number := func(name string, least int64) *int64 {
		v := q.Get(name)
		if v == "" {
			return nil
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < least {
			errs = append(errs, field.Invalid(field.NewPath(name), v, fmt.Sprintf("must be greater than or equal to %d", least)))
		}
		return &n
	}
	opts.TailLines = number("tailLines", 0)
	opts.SinceSeconds = number("sinceSeconds", 1)
	opts.LimitBytes = number("limitBytes", 1)
	if v := q.Get("sinceTime"); v != "" {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			errs = append(errs, field.Invalid(field.NewPath("sinceTime"), v, err.Error()))
		}
		since := metav1.NewTime(at)
		opts.SinceTime = &since
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), r.name, errs)
	}
	return opts, nil
}
