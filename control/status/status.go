// Package status tells users what became of what they wrote: it writes
// conditions onto their Istio objects.
//
// It is the last stage of a config change. The pipeline says what is wrong
// with an object ([Report]), the discovery server says what proxies refused;
// the [Writer] puts both on the object's status, once they have settled and
// only when they differ from what is there.
package status

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/lateenmesh/lateen/internal/promtext"
)

// Level says how bad a problem is.
type Level string

// The levels, as Istio spells them in status.
const (
	Error   Level = "ERROR"
	Warning Level = "WARNING"
	Info    Level = "INFO"
)

// Problem is one thing to tell the user.
type Problem struct {
	Level Level
	// Code and Name are Istio's of the message, IST0101 and
	// ReferencedResourceNotFound; empty when Istio has none.
	Code, Name string
	Message    string
}

// Object names what a report is about.
type Object struct {
	Resource        schema.GroupVersionResource
	Namespace, Name string
}

// String is "virtualservices shop/cart".
func (o Object) String() string { return o.Resource.Resource + " " + o.Namespace + "/" + o.Name }

// Report is all that is to say about one generation of an object. It replaces
// earlier reports. No problems means that all is well.
type Report struct {
	Object
	Generation int64
	Problems   []Problem
}

// Refusal is what proxies said of resources that were made from an object.
type Refusal struct {
	Object
	Generation int64
	// Text are a proxy's words; empty takes the refusal back.
	Text string
}

// The pace of writes: an object's status is written when nothing new has been
// said about it for a moment, and never more than this in all.
const (
	settle         = 300 * time.Millisecond
	writesPerSec   = 10
	writesAtOnce   = 20
	retryConflicts = 3
)

// Writer writes status. Its methods may be called from any goroutine.
type Writer struct {
	client dynamic.Interface
	log    *slog.Logger
	limit  *rate.Limiter
	wake   chan struct{}

	mu    sync.Mutex
	known map[Object]*entry // guarded by mu

	writes, failures promtext.Counter
}

// entry is what is known of one object.
type entry struct {
	report  Report
	refusal Refusal
	due     time.Time // when to write; zero when there is nothing new
}

// NewWriter writes with client.
func NewWriter(client dynamic.Interface, log *slog.Logger) *Writer {
	return &Writer{
		client: client, log: log, limit: rate.NewLimiter(writesPerSec, writesAtOnce), wake: make(chan struct{}, 1), known: map[Object]*entry{},
	}
}

// Set replaces what is to say about an object. An object that nothing was ever
// wrong with is not written to; what an earlier process wrote is corrected.
func (w *Writer) Set(r Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.known[r.Object]
	if e == nil {
		e = &entry{}
		w.known[r.Object] = e
	} else if e.report.Generation == r.Generation && slices.Equal(e.report.Problems, r.Problems) {
		return
	}
	if r.Generation > e.refusal.Generation {
		e.refusal = Refusal{} // it was about an older text
	}
	e.report = r
	w.schedule(e)
}

// Refused notes that a proxy refused, or takes again, what was made from an
// object.
func (w *Writer) Refused(r Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.known[r.Object]
	if e == nil {
		if r.Text == "" {
			return
		}
		e = &entry{report: Report{Object: r.Object, Generation: r.Generation}}
		w.known[r.Object] = e
	}
	if e.refusal.Text == r.Text && e.refusal.Generation == r.Generation {
		return
	}
	e.refusal = r
	w.schedule(e)
}

// Forget drops an object that was deleted.
func (w *Writer) Forget(o Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, o)
}

// schedule has e written soon. The caller holds mu.
func (w *Writer) schedule(e *entry) {
	e.due = time.Now().Add(settle)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) error {
	for {
		next := w.flush(ctx)
		var timer <-chan time.Time
		if next > 0 {
			timer = time.After(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-timer:
		}
	}
}

// flush writes what is due, and says how long until the next is; 0 is never.
func (w *Writer) flush(ctx context.Context) time.Duration {
	for {
		o, want, wait := w.next(time.Now())
		if wait != 0 || o.Name == "" {
			return wait
		}
		if w.limit.Wait(ctx) != nil {
			return 0
		}
		if err := w.write(ctx, o, want); err != nil && ctx.Err() == nil {
			w.failures.Inc("")
			w.log.Warn("status not written", "object", o.String(), "error", err)
		}
	}
}

// next takes the object that has been due longest. Without one it says how
// long to wait for it.
func (w *Writer) next(now time.Time) (Object, want, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first *entry
	for _, e := range w.known {
		if !e.due.IsZero() && (first == nil || cmp.Or(e.due.Compare(first.due), cmp.Compare(e.report.Object.String(), first.report.Object.String())) < 0) {
			first = e
		}
	}
	if first == nil {
		return Object{}, want{}, 0
	}
	if now.Before(first.due) {
		return Object{}, want{}, first.due.Sub(now)
	}
	first.due = time.Time{}
	return first.report.Object, wanted(first.report, first.refusal), 0
}

// write puts a status onto an object unless it is there already. An object
// that has changed since is left: a report about the new text will come.
func (w *Writer) write(ctx context.Context, o Object, want want) error {
	client := w.client.Resource(o.Resource).Namespace(o.Namespace)
	for try := 0; ; try++ {
		obj, err := client.Get(ctx, o.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			w.Forget(o)
			return nil
		}
		if err != nil {
			return fmt.Errorf("get %s: %w", o, err)
		}
		if obj.GetGeneration() > want.generation || want.allWell() && !spokenOf(obj) || !want.apply(obj, time.Now()) {
			return nil
		}
		_, err = client.UpdateStatus(ctx, obj, metav1.UpdateOptions{})
		switch {
		case err == nil:
			w.writes.Inc("")
			return nil
		case apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err) || try == retryConflicts:
			return fmt.Errorf("update the status of %s: %w", o, err)
		}
	}
}

// WriteMetrics writes the writer's counters in Prometheus' text format.
func (w *Writer) WriteMetrics(out io.Writer) {
	w.writes.Write(out, "pilot_status_writes_total", "", "Status updates that were written.")
	w.failures.Write(out, "pilot_status_write_failures_total", "", "Status updates that could not be written.")
}

// content is the status of obj, an empty map when it has none.
func content(obj *unstructured.Unstructured) map[string]any {
	s, _, _ := unstructured.NestedMap(obj.Object, "status")
	if s == nil {
		s = map[string]any{}
	}
	return s
}
