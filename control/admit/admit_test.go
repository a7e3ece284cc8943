package admit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// webhook denies what is called bad and warns about what is called odd.
func webhook() *Webhook {
	return NewWebhook(func(o *unstructured.Unstructured) ([]string, error) {
		switch o.GetName() {
		case "bad":
			return nil, errors.New("weights add up to 90, want 100")
		case "odd":
			return []string{"fault is not supported yet"}, nil
		}
		return nil, nil
	}, slog.New(slog.DiscardHandler))
}

func request(name, group string, op admissionv1.Operation, more string) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID: "1", Operation: op, Namespace: "shop", Kind: metav1.GroupVersionKind{Kind: "VirtualService"},
		Resource: metav1.GroupVersionResource{Group: group, Version: "v1", Resource: "virtualservices"},
		Object: runtime.RawExtension{Raw: fmt.Appendf(nil,
			`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":%q%s}}`, name, more)},
	}
}

func TestAdmit(t *testing.T) {
	const istio = "networking.istio.io"
	for _, c := range []struct {
		name     string
		req      *admissionv1.AdmissionRequest
		message  string
		warnings []string
	}{
		{"a valid object", request("good", istio, admissionv1.Create, ""), "", nil},
		{"a mistake", request("bad", istio, admissionv1.Create, ""), "configuration is invalid: VirtualService shop/bad: weights add up to 90, want 100", nil},
		{"a mistake in an update", request("bad", istio, admissionv1.Update, ""), "configuration is invalid: VirtualService shop/bad: weights add up to 90, want 100", nil},
		{"an odd one", request("odd", istio, admissionv1.Create, ""), "", []string{"fault is not supported yet"}},
		{"a deletion", request("bad", istio, admissionv1.Delete, ""), "", nil},
		{"one on its way out", request("bad", istio, admissionv1.Update, `,"deletionTimestamp":"2030-01-01T00:00:00Z"`), "", nil},
		{"somebody else's", request("bad", "apps", admissionv1.Create, ""), "", nil},
	} {
		resp := webhook().Admit(t.Context(), c.req)
		message := ""
		if resp.Result != nil {
			message = resp.Result.Message
		}
		if resp.Allowed != (c.message == "") || message != c.message || !cmp.Equal(resp.Warnings, c.warnings) {
			t.Errorf("%s: got allowed %v, %q, %v; want %q, %v", c.name, resp.Allowed, message, resp.Warnings, c.message, c.warnings)
		}
	}
}

func TestServeHTTP(t *testing.T) {
	body, _ := json.Marshal(admissionv1.AdmissionReview{Request: request("bad", "networking.istio.io", admissionv1.Create, "")})
	rec := httptest.NewRecorder()
	webhook().ServeHTTP(rec, httptest.NewRequest("POST", "/validate", bytes.NewReader(body)))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil || review.Response.Allowed || review.Response.UID != "1" {
		t.Errorf("answer %s, %v; want a denial", rec.Body, err)
	}
}
