package status

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

var cart = Object{schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}, "shop", "cart"}

var unknownHost = Problem{Error, "IST0101", "ReferencedResourceNotFound", "route 1: host cart is not there"}

// story runs a writer over an API server that holds shop/cart, in fake time.
func story(t *testing.T, tell func(w *Writer, after func() map[string]any, updates func() int)) {
	synctest.Test(t, func(t *testing.T) {
		vs := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
			"metadata": map[string]any{"namespace": "shop", "name": "cart", "generation": int64(2)},
			"status":   map[string]any{"conditions": []any{map[string]any{"type": "Theirs", "status": "True"}}},
		}}
		client := fake.NewSimpleDynamicClient(runtime.NewScheme(), vs)
		w := NewWriter(client, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.Run(ctx) })
		after := func() map[string]any {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			obj, err := client.Resource(cart.Resource).Namespace("shop").Get(ctx, "cart", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return content(obj)
		}
		tell(w, after, func() int {
			n := 0
			for _, a := range client.Actions() {
				if a.GetVerb() == "update" {
					n++
				}
			}
			return n
		})
		cancel()
		running.Wait()
	})
}

// summary is the conditions in short, and the message codes.
func summary(s map[string]any) string {
	var words []string
	conditions, _ := s["conditions"].([]any)
	for _, c := range conditions {
		c := c.(map[string]any)
		words = append(words, c["type"].(string)+"="+c["status"].(string))
	}
	messages, _ := s["validationMessages"].([]any)
	for _, m := range messages {
		words = append(words, m.(map[string]any)["type"].(map[string]any)["code"].(string))
	}
	return strings.Join(words, " ")
}

// A problem appears on the object, beside others' conditions, and goes when it
// is solved.
func TestProblem(t *testing.T) {
	story(t, func(w *Writer, after func() map[string]any, _ func() int) {
		w.Set(Report{cart, 2, []Problem{unknownHost}})
		s := after()
		if got, want := summary(s), "Theirs=True Reconciled=False PassedValidation=False IST0101"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
		c := s["conditions"].([]any)[2].(map[string]any)
		if diff := cmp.Diff(c["message"], "IST0101: route 1: host cart is not there"); diff != "" {
			t.Errorf("message (-got +want):\n%s", diff)
		}
		if c["observedGeneration"] != int64(2) || s["observedGeneration"] != int64(2) {
			t.Errorf("generations %v, %v; want 2", c["observedGeneration"], s["observedGeneration"])
		}
		w.Set(Report{cart, 2, nil})
		if got, want := summary(after()), "Theirs=True Reconciled=True PassedValidation=True"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
	})
}

// What is said twice, or taken back at once, is written once or not at all.
func TestOnlyOnChange(t *testing.T) {
	story(t, func(w *Writer, after func() map[string]any, updates func() int) {
		w.Set(Report{cart, 2, nil})
		after()
		if n := updates(); n != 0 {
			t.Errorf("%d writes to an object that is well, want none", n)
		}
		for range 5 {
			w.Set(Report{cart, 2, []Problem{unknownHost}})
			w.Set(Report{cart, 2, []Problem{unknownHost, {Warning, "", "", "more"}}})
		}
		after()
		w.Set(Report{cart, 2, []Problem{unknownHost}})
		w.Set(Report{cart, 2, []Problem{unknownHost, {Warning, "", "", "more"}}})
		after()
		if n := updates(); n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
	})
}

// A report about an older text than the object's is not written.
func TestOldGeneration(t *testing.T) {
	story(t, func(w *Writer, after func() map[string]any, updates func() int) {
		w.Set(Report{cart, 1, []Problem{unknownHost}})
		if after(); updates() != 0 {
			t.Error("a report about generation 1 is written onto generation 2")
		}
	})
}

// A proxy's refusal is shown until the proxy takes it, or the text changes.
func TestRefusal(t *testing.T) {
	story(t, func(w *Writer, after func() map[string]any, _ func() int) {
		w.Refused(Refusal{cart, 2, "route cart: bad regex"})
		s := after()
		c := s["conditions"].([]any)[1].(map[string]any)
		if c["status"] != "False" || c["reason"] != "RejectedByProxy" || !strings.Contains(c["message"].(string), "bad regex") {
			t.Errorf("condition %v, want the proxy's words", c)
		}
		w.Refused(Refusal{Object: cart, Generation: 2})
		if got, want := summary(after()), "Theirs=True Reconciled=True PassedValidation=True"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
	})
}

// What an earlier process wrote is corrected when all is well now.
func TestLeftovers(t *testing.T) {
	story(t, func(w *Writer, after func() map[string]any, _ func() int) {
		w.Set(Report{cart, 2, []Problem{unknownHost}})
		after()
		again := NewWriter(w.client, w.log)
		again.Set(Report{cart, 2, nil})
		again.flushAll(t)
		if got, want := summary(after()), "Theirs=True Reconciled=True PassedValidation=True"; got != want {
			t.Errorf("status %q, want %q", got, want)
		}
	})
}

func (w *Writer) flushAll(t *testing.T) {
	t.Helper()
	for wait := w.flush(context.Background()); wait > 0; wait = w.flush(context.Background()) {
		time.Sleep(wait)
	}
}
