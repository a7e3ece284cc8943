package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func webhook() *Webhook {
	return NewWebhook(func() Settings { return Settings{} }, func(_ context.Context, ns string) (map[string]string, error) {
		if ns == "gone" {
			return nil, errors.New("not found")
		}
		return asking, nil
	}, slog.New(slog.DiscardHandler))
}

func creation(t *testing.T, namespace string, pod *corev1.Pod) *admissionv1.AdmissionRequest {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return &admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Create, Namespace: namespace, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object: runtime.RawExtension{Raw: raw},
	}
}

// The patch makes the API server's copy what Inject returns.
func TestPatch(t *testing.T) {
	pod := annotated("a/b~c", "d")
	pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
	req := creation(t, "shop", pod)
	resp := webhook().Admit(t.Context(), req)
	if !resp.Allowed || *resp.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("answer %+v, want a JSON patch", resp)
	}
	patch, err := jsonpatch.DecodePatch(resp.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(req.Object.Raw)
	if err != nil {
		t.Fatalf("%v in %s", err, resp.Patch)
	}
	var got corev1.Pod
	if err := json.Unmarshal(patched, &got); err != nil {
		t.Fatal(err)
	}
	want, _ := Inject(pod, "shop", asking, Settings{})
	if diff := cmp.Diff(&got, want.Pod); diff != "" {
		t.Errorf("patched pod (-got +want):\n%s", diff)
	}
}

func TestAdmit(t *testing.T) {
	w := webhook()
	update := creation(t, "shop", annotated("a", "b"))
	update.Operation = admissionv1.Update
	for _, c := range []struct {
		name    string
		req     *admissionv1.AdmissionRequest
		allowed bool
		message string
	}{
		{"an update", update, true, ""},
		{"a pod that declines", creation(t, "shop", annotated("sidecar.istio.io/inject", "false")), true, ""},
		{"a mistake", creation(t, "shop", annotated("sidecar.istio.io/proxyCPU", "x")), false, "inject pod shop/p: annotation sidecar.istio.io/proxyCPU"},
		{"an unknown namespace", creation(t, "gone", annotated("a", "b")), false, "read the labels of namespace gone: not found"},
	} {
		resp := w.Admit(t.Context(), c.req)
		message := ""
		if resp.Result != nil {
			message = resp.Result.Message
		}
		if resp.Allowed != c.allowed || len(resp.Patch) > 0 || !strings.Contains(message, c.message) {
			t.Errorf("%s: got %+v %q, want allowed %v, %q and no patch", c.name, resp, message, c.allowed, c.message)
		}
	}
	var text strings.Builder
	w.WriteMetrics(&text)
	for _, want := range []string{"sidecar_injection_requests_total 3\n", "sidecar_injection_failure_total 2\n", "sidecar_injection_skip_total 1\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("metrics miss %q", want)
		}
	}
}

func TestServeHTTP(t *testing.T) {
	body, _ := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: creation(t, "shop", annotated("a", "b")),
	})
	rec := httptest.NewRecorder()
	webhook().ServeHTTP(rec, httptest.NewRequest("POST", "/inject", bytes.NewReader(body)))
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil || review.Response == nil || review.Response.UID != "1" || len(review.Response.Patch) == 0 || review.Kind != "AdmissionReview" {
		t.Errorf("answer %s, %v; want a review with a patch", rec.Body, err)
	}
	rec = httptest.NewRecorder()
	webhook().ServeHTTP(rec, httptest.NewRequest("POST", "/inject", strings.NewReader("x")))
	if rec.Code != 400 {
		t.Errorf("garbage gets %d, want 400", rec.Code)
	}
}
