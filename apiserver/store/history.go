package store

import (
	"reflect"
	"slices"
	"time"
)

// maxGone is how many deleted objects keep their history.
const maxGone = 512

// Revision is one entry of an object's history.
type Revision struct {
	Revision uint64
	Time     time.Time
	// Deleted says that the object was removed at this revision; Object is then its last state.
	Deleted bool
	Object  *Object
}

// History lists the kept revisions of an object, oldest first: those that changed
// what a user says (spec, data, labels, annotations), not those of its status.
func (s *Store) History(key Key) []Revision {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.resources[key.Resource]
	if sh == nil {
		return nil
	}
	return slices.Clone(sh.history[key.name()])
}

// insert makes o current and remembers it; s.mu is held.
func (s *Store) insert(sh *shelf, o *Object, at time.Time) {
	n := o.Key.name()
	old := sh.objects[n]
	sh.objects[n] = o
	if sh.forget || old != nil && sameIntent(old, o) {
		return
	}
	s.remember(sh, Revision{Revision: o.Revision, Time: at, Object: o})
}

// remove drops the current object and remembers its end; s.mu is held.
func (s *Store) remove(sh *shelf, last *Object, at time.Time) {
	delete(sh.objects, last.Key.name())
	if sh.forget {
		return
	}
	s.remember(sh, Revision{Revision: last.Revision, Time: at, Deleted: true, Object: last})
	s.gone = append(s.gone, last.Key)
	if len(s.gone) <= maxGone {
		return
	}
	oldest := s.gone[0]
	s.gone = s.gone[1:]
	osh := s.shelf(oldest.Resource)
	if _, lives := osh.objects[oldest.name()]; !lives && !slices.Contains(s.gone, oldest) {
		delete(osh.history, oldest.name())
	}
}

func (s *Store) remember(sh *shelf, r Revision) {
	n := r.Object.Key.name()
	h := append(sh.history[n], r)
	if over := len(h) - s.cfg.History; over > 0 {
		h = slices.Clone(h[over:])
	}
	sh.history[n] = h
}

// sameIntent reports whether two revisions differ only in what the system
// writes: status, managed fields, revision.
func sameIntent(a, b *Object) bool {
	return reflect.DeepEqual(intent(a.Content()), intent(b.Content()))
}

func intent(content map[string]any) map[string]any {
	out := make(map[string]any, len(content)+2)
	for k, v := range content {
		if k != "status" && k != "metadata" {
			out[k] = v
		}
	}
	if meta, ok := content["metadata"].(map[string]any); ok {
		out["labels"], out["annotations"] = meta["labels"], meta["annotations"]
	}
	return out
}
