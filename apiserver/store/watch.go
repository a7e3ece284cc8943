package store

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// EventType says what happened to an object.
type EventType string

// The event types have the names that they have on the wire.
const (
	Added    EventType = "ADDED"
	Modified EventType = "MODIFIED"
	Deleted  EventType = "DELETED"
)

// Event is one change of one object.
type Event struct {
	Type   EventType
	Object *Object
	// Old is the revision that Object replaced, nil for a new object. A watcher
	// with a selector needs it to tell an object that leaves the selection.
	Old *Object
}

// eventLog is the bounded window of one resource's events. Watchers read it at
// their own pace by sequence number; whoever falls out of the window is told so.
type eventLog struct {
	events  []Event
	first   uint64        // sequence number of events[0]
	floor   uint64        // events up to this revision may be missing
	changed chan struct{} // closed at the next append
}

func newEventLog(floor uint64) eventLog {
	return eventLog{floor: floor, changed: make(chan struct{})}
}

func (l *eventLog) append(ev Event, window int) {
	if len(l.events) >= 2*window { // drop a window at a time: amortised constant
		l.floor = l.events[window-1].Object.Revision
		l.events = append([]Event(nil), l.events[window:]...)
		l.first += uint64(window)
	}
	l.events = append(l.events, ev)
	close(l.changed)
	l.changed = make(chan struct{})
}

// Watcher follows the events of one resource.
type Watcher struct {
	store *Store
	gr    schema.GroupResource
	next  uint64
}

// Batch is what happened since the last call of [Watcher.Poll].
type Batch struct {
	Events []Event
	// Revision up to which the watcher has now seen everything.
	Revision uint64
	// Changed is closed when there is more to poll.
	Changed <-chan struct{}
}

// Watch follows a resource from after the given revision. It fails with
// [ErrExpired] if that lies outside the window of kept events, or in the future
// (the client knew another store).
func (s *Store) Watch(gr schema.GroupResource, after uint64) (*Watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := &s.shelf(gr).log
	if after < log.floor || after > s.revision {
		return nil, fmt.Errorf("watch %s from %d (oldest kept is %d): %w", gr, after, log.floor, ErrExpired)
	}
	next := log.first + uint64(len(log.events))
	for i, ev := range log.events {
		if ev.Object.Revision > after {
			next = log.first + uint64(i)
			break
		}
	}
	return &Watcher{store: s, gr: gr, next: next}, nil
}

// ListAndWatch lists a resource as [Store.List] does, and follows it from there on.
func (s *Store) ListAndWatch(gr schema.GroupResource, namespace string) ([]*Object, uint64, *Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := &s.shelf(gr).log
	w := &Watcher{store: s, gr: gr, next: log.first + uint64(len(log.events))}
	return s.list(gr, namespace), s.revision, w
}

// Poll returns what happened since the last call, without waiting. It fails with
// [ErrExpired] if the watcher was too slow, and with [ErrClosed].
func (w *Watcher) Poll() (Batch, error) {
	s := w.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return Batch{}, ErrClosed
	}
	log := &s.resources[w.gr].log
	if w.next < log.first {
		return Batch{}, fmt.Errorf("watch %s: %w", w.gr, ErrExpired)
	}
	pending := log.events[w.next-log.first:]
	w.next += uint64(len(pending))
	return Batch{Events: pending[:len(pending):len(pending)], Revision: s.revision, Changed: log.changed}, nil
}
