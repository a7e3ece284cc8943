// Package admission carries admission reviews over HTTP, as a Kubernetes API
// server sends them to webhooks.
package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
)

// Admit answers one request.
type Admit func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

// maxReview bounds an admission review, in bytes.
const maxReview = 8 << 20

// Serve reads a review (admission.k8s.io/v1) from r and answers it with admit.
func Serve(w http.ResponseWriter, r *http.Request, admit Admit, log *slog.Logger) {
	var review admissionv1.AdmissionReview
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil || review.Request == nil {
		http.Error(w, fmt.Sprintf("want an AdmissionReview with a request: %v", err), http.StatusBadRequest)
		return
	}
	review.Response, review.Request = admit(r.Context(), review.Request), nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(&review); err != nil {
		log.Warn("admission answer not sent", "error", err)
	}
}
