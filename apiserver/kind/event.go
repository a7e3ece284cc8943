package kind

import (
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateenmesh/lateen/apiserver/table"
	"github.com/lateenmesh/lateen/apiserver/validate"
)

// coreStorage is the storage version of events.k8s.io: the core group's form. It is
// no version that anyone can ask for.
const coreStorage = "core"

// event is the newer face of events. They are stored once, as core events.
func event() *Kind {
	k := entry[corev1.Event]{gv: schema.GroupVersion{Group: eventsv1.GroupName, Version: coreStorage},
		kind: "Event", plural: "events", validate: validate.Event, table: table.Event, short: []string{"ev"},
		versions: []string{"v1"}, fields: eventFields,
		others: map[string]func() runtime.Object{"v1": func() runtime.Object { return &eventsv1.Event{} }},
		view:   &Conversion{From: eventFrom, To: eventTo},
	}.row()
	k.StoredAs = &schema.GroupVersionResource{Version: "v1", Resource: "events"}
	return k
}

func eventFrom(_ string, obj map[string]any) (map[string]any, error) {
	e, err := From[eventsv1.Event](obj)
	if err != nil {
		return nil, err
	}
	out := &corev1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Event", APIVersion: "v1"},
		ObjectMeta: e.ObjectMeta, InvolvedObject: e.Regarding, Related: e.Related,
		Reason: e.Reason, Message: e.Note, Type: e.Type, Action: e.Action, EventTime: e.EventTime,
		Source: e.DeprecatedSource, FirstTimestamp: e.DeprecatedFirstTimestamp, LastTimestamp: e.DeprecatedLastTimestamp, Count: e.DeprecatedCount,
		ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &corev1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(out)
}

func eventTo(_ string, stored map[string]any) (map[string]any, error) {
	e, err := From[corev1.Event](stored)
	if err != nil {
		return nil, err
	}
	out := &eventsv1.Event{
		TypeMeta:   metav1.TypeMeta{Kind: "Event", APIVersion: eventsv1.SchemeGroupVersion.String()},
		ObjectMeta: e.ObjectMeta, Regarding: e.InvolvedObject, Related: e.Related,
		Reason: e.Reason, Note: e.Message, Type: e.Type, Action: e.Action, EventTime: e.EventTime,
		DeprecatedSource: e.Source, DeprecatedFirstTimestamp: e.FirstTimestamp, DeprecatedLastTimestamp: e.LastTimestamp, DeprecatedCount: e.Count,
		ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
	}
	if e.Series != nil {
		out.Series = &eventsv1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	return runtime.DefaultUnstructuredConverter.ToUnstructured(out)
}
