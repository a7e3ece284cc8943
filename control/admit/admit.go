// Package admit answers an API server's question whether a user's object is
// valid.
//
// It stands before the journey of a config change: what it denies is never
// stored, and the user reads why at once. It asks only about the object itself;
// that a host or a subset is not there (yet) is no reason to deny, and is told
// on the object's status.
package admit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateenmesh/lateen/internal/admission"
	"github.com/lateenmesh/lateen/internal/promtext"
)

// Validate checks one object by itself. Warnings reach the user though the
// object is accepted; an error denies it.
type Validate func(obj *unstructured.Unstructured) (warnings []string, err error)

// Webhook validates objects for an API server, in process ([Webhook.Admit]) or
// over HTTP ([Webhook.ServeHTTP]).
type Webhook struct {
	validate Validate
	log      *slog.Logger

	passed, failed promtext.Counter
}

// NewWebhook answers with validate.
func NewWebhook(validate Validate, log *slog.Logger) *Webhook {
	return &Webhook{validate: validate, log: log}
}

// groups are the API groups whose objects are checked.
var groups = []string{"networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io", "gateway.networking.k8s.io"}

// Admit answers one request. Deletions, subresources and other groups pass.
func (w *Webhook) Admit(_ context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	pass := &admissionv1.AdmissionResponse{UID: req.UID, Allowed: true}
	if !watched(req) {
		return pass
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(req.Object.Raw); err != nil {
		return w.deny(req, fmt.Errorf("read %s: %w", req.Kind.Kind, err))
	}
	if obj.GetDeletionTimestamp() != nil {
		return pass // a finalizer must be removable from an invalid object
	}
	warnings, err := w.validate(obj)
	if err != nil {
		resp := w.deny(req, fmt.Errorf("%s %s/%s: %w", req.Kind.Kind, req.Namespace, obj.GetName(), err))
		resp.Warnings = warnings
		return resp
	}
	w.passed.Inc(req.Resource.Resource)
	pass.Warnings = warnings
	return pass
}

func watched(req *admissionv1.AdmissionRequest) bool {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update || req.SubResource != "" {
		return false
	}
	for _, g := range groups {
		if g == req.Resource.Group {
			return true
		}
	}
	return false
}

func (w *Webhook) deny(req *admissionv1.AdmissionRequest, err error) *admissionv1.AdmissionResponse {
	w.failed.Inc(req.Resource.Resource)
	message := err.Error()
	if !strings.Contains(message, "configuration is invalid") {
		message = "configuration is invalid: " + message
	}
	w.log.Info("object denied", "kind", req.Kind.Kind, "namespace", req.Namespace, "name", req.Name, "error", err)
	return &admissionv1.AdmissionResponse{UID: req.UID, Result: &metav1.Status{
		Status: metav1.StatusFailure, Message: message, Reason: metav1.StatusReasonBadRequest, Code: http.StatusBadRequest,
	}}
}

// ServeHTTP answers admission reviews (admission.k8s.io/v1), as a Kubernetes
// API server sends them to /validate.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	admission.Serve(rw, r, w.Admit, w.log)
}

// WriteMetrics writes the webhook's counters under Istio's names.
func (w *Webhook) WriteMetrics(out io.Writer) {
	w.passed.Write(out, "galley_validation_passed", "resource", "Objects that were valid.")
	w.failed.Write(out, "galley_validation_failed", "resource", "Objects that were denied.")
}
