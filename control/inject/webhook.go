package inject

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lateenmesh/lateen/internal/admission"
	"github.com/lateenmesh/lateen/internal/promtext"
)

// Webhook injects pods for an API server, in process ([Webhook.Admit]) or over
// HTTP ([Webhook.ServeHTTP]).
type Webhook struct {
	settings func() Settings
	labels   func(ctx context.Context, namespace string) (map[string]string, error)
	log      *slog.Logger

	requests, injected, skipped, failed promtext.Counter
	seconds                             *promtext.Histogram
}

// NewWebhook injects by the settings of the moment; labels gives a namespace's
// labels.
func NewWebhook(settings func() Settings, labels func(ctx context.Context, namespace string) (map[string]string, error), log *slog.Logger) *Webhook {
	return &Webhook{settings: settings, labels: labels, log: log, seconds: promtext.NewHistogram(.001, .003, .01, .03, .1, .3, 1, 3, 10)}
}

// Admit answers one request for a pod with a JSON patch, or with nothing to do.
// Everything but the creation of pods is let through.
func (w *Webhook) Admit(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if req.Operation != admissionv1.Create || req.Resource.Resource != "pods" || req.SubResource != "" {
		return &admissionv1.AdmissionResponse{UID: req.UID, Allowed: true}
	}
	w.requests.Inc("")
	start := time.Now()
	r, patch, err := w.inject(ctx, req)
	w.seconds.Observe(time.Since(start).Seconds())
	resp := &admissionv1.AdmissionResponse{UID: req.UID, Allowed: err == nil, Warnings: r.Warnings}
	switch {
	case err != nil:
		w.failed.Inc("")
		w.log.Warn("pod not injected", "namespace", req.Namespace, "error", err)
		resp.Result = &metav1.Status{Status: metav1.StatusFailure, Message: err.Error(), Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity}
	case !r.Decision.Inject:
		w.skipped.Inc("")
		w.log.Debug("pod left as it is", "namespace", req.Namespace, "pod", podName(r.Pod), "reason", r.Decision.Reason)
	default:
		w.injected.Inc("")
		w.log.Debug("pod injected", "namespace", req.Namespace, "pod", podName(r.Pod), "reason", r.Decision.Reason)
		resp.Patch, resp.PatchType = patch, ptr(admissionv1.PatchTypeJSONPatch)
	}
	return resp
}

func (w *Webhook) inject(ctx context.Context, req *admissionv1.AdmissionRequest) (Result, []byte, error) {
	pod := &corev1.Pod{}
	if err := json.Unmarshal(req.Object.Raw, pod); err != nil {
		return Result{}, nil, fmt.Errorf("read pod: %w", err)
	}
	labels, err := w.labels(ctx, req.Namespace)
	if err != nil {
		return Result{}, nil, fmt.Errorf("read the labels of namespace %s: %w", req.Namespace, err)
	}
	r, err := Inject(pod, req.Namespace, labels, w.settings())
	if err != nil || !r.Decision.Inject {
		return r, nil, err
	}
	patch, err := jsonPatch(pod, r.Pod)
	return r, patch, err
}

// ServeHTTP answers admission reviews (admission.k8s.io/v1), as a Kubernetes
// API server sends them to /inject.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	admission.Serve(rw, r, w.Admit, w.log)
}

// WriteMetrics writes the webhook's counters under Istio's names.
func (w *Webhook) WriteMetrics(out io.Writer) {
	w.requests.Write(out, "sidecar_injection_requests_total", "", "Pods that were asked about.")
	w.injected.Write(out, "sidecar_injection_success_total", "", "Pods that were injected.")
	w.failed.Write(out, "sidecar_injection_failure_total", "", "Pods that could not be injected.")
	w.skipped.Write(out, "sidecar_injection_skip_total", "", "Pods that were left as they are.")
	w.seconds.Write(out, "sidecar_injection_time_seconds", "Seconds that answering took.")
}
