package apiserver_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lateenmesh/lateen/apiserver"
)

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}}},
		},
	}
}

// Mutators change objects, validators see the outcome; both see dry runs, and a
// denial reads as on a cluster.
func TestAdmission(t *testing.T) {
	allow := &admissionv1.AdmissionResponse{Allowed: true}
	patchType := admissionv1.PatchTypeJSONPatch
	var seen []string
	var seenMu sync.Mutex
	s := newServer(t, func(c *apiserver.Config) {
		c.Admission.Mutators = []apiserver.Mutator{{
			Name: "injector.example", Match: apiserver.Match{Groups: []string{""}, Resources: []string{"pods"}, Operations: []admissionv1.Operation{admissionv1.Create}},
			Admit: func(_ context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				patch := `[{"op":"add","path":"/spec/containers/-","value":{"name":"sidecar","image":"sidecar:1"}}]`
				return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(patch), PatchType: &patchType}
			},
		}}
		c.Admission.Validators = []apiserver.Validator{{
			Name: "validation.example", Match: apiserver.Match{Resources: []string{"pods", "configmaps"}, Operations: []admissionv1.Operation{"*"}},
			Admit: func(_ context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				seenMu.Lock()
				defer seenMu.Unlock()
				seen = append(seen, string(req.Operation)+" "+req.Name)
				if req.Resource.Resource == "configmaps" && req.Operation == admissionv1.Create {
					return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: "no settings today"}, Warnings: []string{"settings are going away"}}
				}
				var pod corev1.Pod
				if req.Operation == admissionv1.Create {
					if err := json.Unmarshal(req.Object.Raw, &pod); err != nil || len(pod.Spec.Containers) != 2 || pod.Spec.Containers[1].ImagePullPolicy == "" {
						t.Errorf("got %+v, %v; want the completed sidecar", pod.Spec.Containers, err)
					}
				}
				return allow
			},
		}}
	})
	config := s.RESTConfig()
	warnings := &recorder{}
	config.WarningHandler = warnings
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main"}}}}
	for _, dryRun := range [][]string{{metav1.DryRunAll}, nil} {
		got, err := c.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{DryRun: dryRun})
		if err != nil || len(got.Spec.Containers) != 2 || got.Spec.Containers[1].Name != "sidecar" {
			t.Errorf("dryRun=%v: got %+v, %v; want a sidecar", dryRun, got.Spec.Containers, err)
		}
	}
	_, err = c.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, metav1.CreateOptions{})
	if want := `admission webhook "validation.example" denied the request: no settings today`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := strings.Join(warnings.texts, ","); got != "settings are going away" {
		t.Errorf("got warnings %q", got)
	}
	if err := c.CoreV1().Pods("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	seenMu.Lock()
	defer seenMu.Unlock()
	if got, want := strings.Join(seen, ","), "CREATE web,CREATE web,CREATE m,DELETE web"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

type recorder struct{ texts []string }

func (r *recorder) HandleWarningHeader(_ int, _ string, text string) { r.texts = append(r.texts, text) }

// Service account tokens say who and for whom, end with their pod, and open the API.
func TestTokens(t *testing.T) {
	s := newServer(t, nil)
	c := clientset(t, s)
	ctx := context.Background()
	if _, err := c.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := createPod(t, s, "web")
	request := func(audience string) string {
		t.Helper()
		var audiences []string
		if audience != "" {
			audiences = []string{audience}
		}
		got, err := c.CoreV1().ServiceAccounts("default").CreateToken(ctx, "robot", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			Audiences: audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "web", UID: pod.UID}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Status.Token
	}
	review := func(token string, audiences ...string) authenticationv1.TokenReviewStatus {
		t.Helper()
		got, err := c.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Status
	}
	token := request("istio-ca")
	got := review(token, "istio-ca", "other")
	if !got.Authenticated || got.User.Username != "system:serviceaccount:default:robot" || strings.Join(got.Audiences, ",") != "istio-ca" {
		t.Errorf("got %+v, want robot for istio-ca", got)
	}
	if got := review(token); got.Authenticated {
		t.Errorf("for the API: got %+v, want it refused", got)
	}
	// One character of the signature is another; the last one would not do, some
	// of its bits mean nothing.
	other := "A"
	if token[len(token)-20] == 'A' {
		other = "B"
	}
	if got := review(token[:len(token)-20]+other+token[len(token)-19:], "istio-ca"); got.Authenticated {
		t.Errorf("forged: got %+v, want it refused", got)
	}
	if code := status(t, s, "Bearer "+token); code != http.StatusUnauthorized {
		t.Errorf("wrong audience: got %d, want 401", code)
	}
	if code := status(t, s, "Bearer "+request("")); code != http.StatusOK {
		t.Errorf("a token for the API: got %d, want 200", code)
	}
	if err := c.CoreV1().Pods("default").Delete(ctx, "web", seconds(0)); err != nil {
		t.Fatal(err)
	}
	if got := review(token, "istio-ca"); got.Authenticated {
		t.Errorf("after the pod: got %+v, want it refused", got)
	}
}

// status asks the handler for the namespaces with an Authorization header.
func status(t *testing.T, s *apiserver.Server, authorization string) int {
	t.Helper()
	h := httptest.NewRequest(http.MethodGet, "/api/v1/namespaces", nil)
	if authorization != "" {
		h.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, h)
	return w.Code
}

// Strangers learn health and version, and nothing else.
func TestAnonymous(t *testing.T) {
	s := newServer(t, nil)
	if code := status(t, s, ""); code != http.StatusUnauthorized {
		t.Errorf("got %d, want 401", code)
	}
	if code := status(t, s, "Bearer wrong"); code != http.StatusUnauthorized {
		t.Errorf("wrong token: got %d, want 401", code)
	}
	if code := status(t, s, "Bearer "+s.Token()); code != http.StatusOK {
		t.Errorf("right token: got %d, want 200", code)
	}
	for _, path := range []string{"/healthz", "/readyz", "/livez", "/version", "/livez/ping"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, w.Code)
		}
	}
}

// Bodies that are too large or in no known format are refused by name.
func TestBodies(t *testing.T) {
	s := newServer(t, nil)
	post := func(contentType, body string) (int, string) {
		h := httptest.NewRequest(http.MethodPost, "/api/v1/namespaces/default/configmaps", strings.NewReader(body))
		h.Header.Set("Authorization", "Bearer "+s.Token())
		h.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, h)
		out, _ := io.ReadAll(w.Body)
		return w.Code, string(out)
	}
	tests := []struct {
		contentType, body string
		code              int
		text              string
	}{
		{"application/json", `{"metadata":{"name":"` + strings.Repeat("x", 4<<20) + `"}}`, http.StatusRequestEntityTooLarge, "limit is"},
		{"text/plain", "hello", http.StatusUnsupportedMediaType, "application/vnd.kubernetes.protobuf"},
		{"application/json", `{"metadata":`, http.StatusBadRequest, "cannot be handled as a ConfigMap"},
		{"application/json", `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}`, http.StatusBadRequest, "does not match the expected kind"},
		{"application/json", `{"metadata":{"name":"a"},"data":{"n":1}}`, http.StatusBadRequest, "cannot unmarshal number"},
		{"application/yaml", "metadata: {name: yaml}\ndata: {a: b}\n", http.StatusCreated, `"a":"b"`},
	}
	for _, test := range tests {
		code, text := post(test.contentType, test.body)
		if code != test.code || !strings.Contains(text, test.text) {
			t.Errorf("%.40s: got %d %.200s, want %d with %q", test.body, code, text, test.code, test.text)
		}
	}
}

var _ rest.WarningHandler = &recorder{}
