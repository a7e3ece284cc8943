package store

import (
	"errors"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var things = schema.GroupResource{Group: "example", Resource: "things"}

func key(name string) Key { return Key{Resource: things, Namespace: "ns", Name: name} }

func thing(size int64) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": "x"}, "spec": map[string]any{"size": size}}
}

func open(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, name string, size int64) *Object {
	t.Helper()
	o, err := s.Create(key(name), thing(size))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func update(t *testing.T, s *Store, old *Object, size int64) *Object {
	t.Helper()
	o, err := s.Update(old, thing(size))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Every write has the next revision, and only the current revision can be replaced.
func TestOptimisticConcurrency(t *testing.T) {
	s := open(t, Config{})
	first := create(t, s, "a", 1)
	if _, err := s.Create(key("a"), thing(1)); !errors.Is(err, ErrExists) {
		t.Errorf("second create: got %v, want %v", err, ErrExists)
	}
	second := update(t, s, first, 2)
	if second.Revision != first.Revision+1 {
		t.Errorf("got revision %d after %d", second.Revision, first.Revision)
	}
	if _, err := s.Update(first, thing(3)); !errors.Is(err, ErrConflict) {
		t.Errorf("stale update: got %v, want %v", err, ErrConflict)
	}
	if _, err := s.Delete(first); !errors.Is(err, ErrConflict) {
		t.Errorf("stale delete: got %v, want %v", err, ErrConflict)
	}
	gone, err := s.Delete(second)
	if err != nil || gone.Revision != second.Revision+1 {
		t.Errorf("delete: got %v, %v", gone, err)
	}
}

// A restart finds objects, histories and the revision counter as they were,
// before and after compaction.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.db")
	s := open(t, Config{Path: path, History: 3})
	o := create(t, s, "a", 0)
	for i := range int64(10) {
		o = update(t, s, o, i+1)
	}
	b := create(t, s, "b", 1)
	if _, err := s.Delete(b); err != nil {
		t.Fatal(err)
	}
	revision := s.Revision()
	for _, compact := range []bool{false, true, false} {
		if compact {
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Path: path, History: 3})
		if got := s.Revision(); got != revision {
			t.Errorf("got revision %d, want %d", got, revision)
		}
		got, ok := s.Get(key("a"))
		if !ok || string(got.JSON) != string(o.JSON) {
			t.Errorf("got %s, want %s", got.JSON, o.JSON)
		}
		if h := s.History(key("a")); len(h) != 3 || h[2].Revision != o.Revision {
			t.Errorf("got history %v, want the last three", h)
		}
		if h := s.History(key("b")); len(h) != 2 || !h[1].Deleted {
			t.Errorf("got history %v, want creation and removal", h)
		}
		if _, err := s.Watch(things, revision-1); !errors.Is(err, ErrExpired) {
			t.Errorf("watch from before the restart: got %v, want %v", err, ErrExpired)
		}
		if _, err := s.Watch(things, revision); err != nil {
			t.Errorf("watch from the last revision: %v", err)
		}
	}
	s.Close()
}

// History keeps what users wrote, not what only the status told.
func TestHistoryIsOfIntent(t *testing.T) {
	s := open(t, Config{})
	o := create(t, s, "a", 1)
	withStatus := o.Copy()
	withStatus["status"] = "fine"
	o, err := s.Update(o, withStatus)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, o, 2)
	if h := s.History(key("a")); len(h) != 2 {
		t.Errorf("got %d entries, want 2", len(h))
	}
}

// A watcher sees every event once and in order; one that falls out of the window is told.
func TestWatch(t *testing.T) {
	s := open(t, Config{Window: 4})
	w, err := s.Watch(things, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := create(t, s, "a", 0)
	o = update(t, s, o, 1)
	batch, err := w.Poll()
	if err != nil || len(batch.Events) != 2 || batch.Revision != o.Revision {
		t.Fatalf("got %+v, %v; want two events", batch, err)
	}
	if ev := batch.Events[1]; ev.Type != Modified || ev.Old.Revision != o.Revision-1 {
		t.Errorf("got %+v, want the change with what it replaced", ev)
	}
	changed := batch.Changed
	for i := range int64(20) {
		o = update(t, s, o, i)
	}
	select {
	case <-changed:
	default:
		t.Error("the watcher was not woken")
	}
	if _, err := w.Poll(); !errors.Is(err, ErrExpired) {
		t.Errorf("slow watcher: got %v, want %v", err, ErrExpired)
	}
	if _, err := s.Watch(things, 1); !errors.Is(err, ErrExpired) {
		t.Errorf("late watcher: got %v, want %v", err, ErrExpired)
	}
	if _, err := s.Watch(things, s.Revision()+1); !errors.Is(err, ErrExpired) {
		t.Errorf("watcher from another store: got %v, want %v", err, ErrExpired)
	}
}

// A closed store refuses writes and ends watches.
func TestClose(t *testing.T) {
	s := open(t, Config{})
	o := create(t, s, "a", 1)
	w, err := s.Watch(things, o.Revision)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := w.Poll()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-batch.Changed
	if _, err := w.Poll(); !errors.Is(err, ErrClosed) {
		t.Errorf("watch: got %v, want %v", err, ErrClosed)
	}
	if _, err := s.Create(key("b"), thing(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("create: got %v, want %v", err, ErrClosed)
	}
}

func BenchmarkUpdateJournaled(b *testing.B) {
	s, err := Open(Config{Path: filepath.Join(b.TempDir(), "api.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	o, err := s.Create(key("a"), thing(0))
	if err != nil {
		b.Fatal(err)
	}
	var i int64
	for b.Loop() {
		i++
		if o, err = s.Update(o, thing(i)); err != nil {
			b.Fatal(err)
		}
	}
}
