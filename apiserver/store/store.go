// Package store holds the objects of the embedded API: the place where a write
// gets its revision, and from which every read and watch is answered. It knows
// names and JSON, not kinds: what an object must look like was settled before.
package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Errors of writes and watches. They are compared with [errors.Is].
var (
	ErrExists   = errors.New("object exists already")
	ErrConflict = errors.New("object has changed since it was read")
	ErrExpired  = errors.New("revision is too old")
	ErrClosed   = errors.New("store is closed")
)

// Config says how much a Store keeps. The zero value is a good default.
type Config struct {
	// Path of the journal file. Empty keeps everything in memory only.
	Path string
	// Window is how many events of one resource a late watcher may still ask for. Default 4096.
	Window int
	// History is how many revisions of one object are kept. Default 16.
	History int
	// Forget lists the resources of which no history is kept, such as events.
	Forget []schema.GroupResource
	// Now is the clock that dates revisions. Default [time.Now].
	Now func() time.Time
}

// Store keeps the objects of all resources under one revision counter.
type Store struct {
	cfg     Config
	journal *journal // nil in memory
	opened  uint64   // the revision at which this process began

	mu        sync.RWMutex // guards all below
	revision  uint64
	resources map[schema.GroupResource]*shelf
	gone      []Key // keys with a history but no object, oldest first
	closed    bool
}

// shelf holds the objects of one resource and their recent events.
type shelf struct {
	objects map[name]*Object
	history map[name][]Revision
	log     eventLog
	forget  bool
}

type name struct{ namespace, name string }

// Open reads the journal, if there is one, and returns the Store that continues it.
func Open(cfg Config) (*Store, error) {
	cfg.Window = cmp.Or(cfg.Window, 4096)
	cfg.History = cmp.Or(cfg.History, 16)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{cfg: cfg, resources: map[schema.GroupResource]*shelf{}}
	if cfg.Path == "" {
		return s, nil
	}
	j, err := openJournal(cfg.Path)
	if err != nil {
		return nil, err
	}
	s.journal = j
	if err := s.replay(); err != nil {
		j.close()
		return nil, err
	}
	return s, nil
}

// Revision is the number of the last write.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Get returns the current object under key.
func (s *Store) Get(key Key) (*Object, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.resources[key.Resource]
	if sh == nil {
		return nil, false
	}
	o, ok := sh.objects[key.name()]
	return o, ok
}

// List returns the objects of a resource, in one namespace or ("") in all,
// ordered by namespace and name, and the revision at which they are current.
func (s *Store) List(gr schema.GroupResource, namespace string) ([]*Object, uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.list(gr, namespace), s.revision
}

func (s *Store) list(gr schema.GroupResource, namespace string) []*Object {
	sh := s.resources[gr]
	if sh == nil {
		return nil
	}
	objects := make([]*Object, 0, len(sh.objects))
	for n, o := range sh.objects {
		if namespace == "" || n.namespace == namespace {
			objects = append(objects, o)
		}
	}
	slices.SortFunc(objects, func(a, b *Object) int { return a.Key.Compare(b.Key) })
	return objects
}

// Create stores a new object. The store owns content from here on and sets its
// resourceVersion. It fails with [ErrExists].
func (s *Store) Create(key Key, content map[string]any) (*Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shelf(key.Resource)
	if _, ok := sh.objects[key.name()]; ok {
		return nil, fmt.Errorf("create %s: %w", key, ErrExists)
	}
	return s.put(sh, key, content, nil)
}

// Update replaces old, which must still be current, else it fails with
// [ErrConflict]. The store owns content from here on.
func (s *Store) Update(old *Object, content map[string]any) (*Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shelf(old.Key.Resource)
	if cur := sh.objects[old.Key.name()]; cur == nil || cur.Revision != old.Revision {
		return nil, fmt.Errorf("update %s: %w", old.Key, ErrConflict)
	}
	return s.put(sh, old.Key, content, old)
}

// Delete removes old, which must still be current, else it fails with
// [ErrConflict]. It returns the object's last state under the revision of its removal.
func (s *Store) Delete(old *Object) (*Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shelf(old.Key.Resource)
	if cur := sh.objects[old.Key.name()]; cur == nil || cur.Revision != old.Revision {
		return nil, fmt.Errorf("delete %s: %w", old.Key, ErrConflict)
	}
	last, err := s.seal(old.Key, old.Copy())
	if err != nil {
		return nil, err
	}
	if err := s.commit(record{Deleted: true, Key: old.Key, At: s.cfg.Now(), Object: last.JSON}, last.Revision); err != nil {
		return nil, err
	}
	s.remove(sh, last, s.cfg.Now())
	sh.log.append(Event{Type: Deleted, Object: last, Old: old}, s.cfg.Window)
	return last, nil
}

// put seals, journals and publishes the next revision of an object; s.mu is held.
func (s *Store) put(sh *shelf, key Key, content map[string]any, old *Object) (*Object, error) {
	o, err := s.seal(key, content)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if err := s.commit(record{Key: key, At: now, Object: o.JSON}, o.Revision); err != nil {
		return nil, err
	}
	s.insert(sh, o, now)
	ev := Event{Type: Added, Object: o}
	if old != nil {
		ev = Event{Type: Modified, Object: o, Old: old}
	}
	sh.log.append(ev, s.cfg.Window)
	return o, nil
}

// seal gives content the next revision and encodes it; s.mu is held.
func (s *Store) seal(key Key, content map[string]any) (*Object, error) {
	if s.closed {
		return nil, ErrClosed
	}
	rev := s.revision + 1
	meta, ok := content["metadata"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("write %s: object without metadata", key)
	}
	meta["resourceVersion"] = strconv.FormatUint(rev, 10)
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", key, err)
	}
	return newObject(key, rev, content, raw), nil
}

// commit makes a sealed revision durable and current; s.mu is held.
func (s *Store) commit(r record, rev uint64) error {
	if s.journal != nil {
		if err := s.journal.append(rev, r); err != nil {
			return fmt.Errorf("write %s: %w", r.Key, err)
		}
	}
	s.revision = rev
	return nil
}

func (s *Store) shelf(gr schema.GroupResource) *shelf {
	sh := s.resources[gr]
	if sh == nil {
		sh = &shelf{
			objects: map[name]*Object{},
			history: map[name][]Revision{},
			log:     newEventLog(s.opened),
			forget:  slices.Contains(s.cfg.Forget, gr),
		}
		s.resources[gr] = sh
	}
	return sh
}

// Resources lists the resources that have or had objects.
func (s *Store) Resources() []schema.GroupResource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.resources))
}
