package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Buckets of the journal file.
var (
	bucketRecords = []byte("records") // revision (big endian) to record
	bucketMeta    = []byte("meta")    // small values such as keys: see Meta
)

// syncInterval is the longest time that a write may be lost for when the machine
// (not just the process) dies.
const syncInterval = time.Second

// compactAfter is the number of appended records after which superseded ones are dropped.
const compactAfter = 8192

// record is one line of the journal.
type record struct {
	Key     Key             `json:"key"`
	At      time.Time       `json:"at"`
	Deleted bool            `json:"deleted,omitempty"`
	Object  json.RawMessage `json:"object"`
}

// journal is the append-only file behind a Store. Compaction drops the records
// that are neither current nor in a history.
type journal struct {
	db       *bbolt.DB
	appended int // since the last compaction; guarded by Store.mu
}

func openJournal(path string) (*journal, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 2 * time.Second, NoSync: true, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open journal %s (is another server using it?): %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(bucketMeta); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(bucketRecords)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return &journal{db: db}, nil
}

func (j *journal) append(rev uint64, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.appended++
	return j.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		b.FillPercent = 0.95 // keys only grow
		return b.Put(revKey(rev), raw)
	})
}

func (j *journal) close() error {
	if err := j.db.Sync(); err != nil {
		return err
	}
	return j.db.Close()
}

// replay rebuilds the objects and their histories from the journal.
func (s *Store) replay() error {
	return s.journal.db.View(func(tx *bbolt.Tx) error {
		err := tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
			rev := binary.BigEndian.Uint64(k)
			var r record
			if err := json.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("read journal at revision %d: %w", rev, err)
			}
			o := newObject(r.Key, rev, nil, r.Object)
			sh := s.shelf(r.Key.Resource)
			if r.Deleted {
				s.remove(sh, o, r.At)
			} else {
				s.insert(sh, o, r.At)
			}
			s.revision = rev
			return nil
		})
		if kept := tx.Bucket(bucketMeta).Get([]byte("revision")); len(kept) == 8 {
			s.revision = max(s.revision, binary.BigEndian.Uint64(kept))
		}
		s.opened = s.revision
		for _, sh := range s.resources {
			sh.log.floor = s.opened // events before the restart are not kept
		}
		return err
	})
}

// Run keeps the journal synced and compact until ctx is done.
func (s *Store) Run(ctx context.Context) error {
	if s.journal == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.journal.db.Sync()
		case <-tick.C:
			if err := s.journal.db.Sync(); err != nil {
				return fmt.Errorf("sync journal: %w", err)
			}
			if err := s.compactIfDue(); err != nil {
				return fmt.Errorf("compact journal: %w", err)
			}
		}
	}
}

func (s *Store) compactIfDue() error {
	s.mu.RLock()
	due := s.journal.appended >= compactAfter
	s.mu.RUnlock()
	if !due {
		return nil
	}
	return s.Compact()
}

// Compact drops the journal records that nothing refers to any more.
func (s *Store) Compact() error {
	if s.journal == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.appended = 0
	keep := s.referenced()
	return s.journal.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketMeta).Put([]byte("revision"), revKey(s.revision)); err != nil {
			return err
		}
		records := tx.Bucket(bucketRecords)
		var drop [][]byte // a bucket must not change while it is walked
		err := records.ForEach(func(k, _ []byte) error {
			if !keep[binary.BigEndian.Uint64(k)] {
				drop = append(drop, bytes.Clone(k))
			}
			return nil
		})
		for _, k := range drop {
			err = errors.Join(err, records.Delete(k))
		}
		return err
	})
}

// referenced is the set of revisions that are current or in a history; s.mu is held.
func (s *Store) referenced() map[uint64]bool {
	keep := map[uint64]bool{}
	for _, sh := range s.resources {
		for _, o := range sh.objects {
			keep[o.Revision] = true
		}
		for _, h := range sh.history {
			for _, r := range h {
				keep[r.Revision] = true
			}
		}
	}
	return keep
}

// Close ends all watches and closes the journal. Writes fail from here on.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, sh := range s.resources {
		close(sh.log.changed)
		sh.log.changed = make(chan struct{})
	}
	if s.journal == nil {
		return nil
	}
	return s.journal.close()
}

// Meta returns the small value kept beside the objects under key, or the one
// that create makes if there is none yet. In memory it is always made.
func (s *Store) Meta(key string, create func() ([]byte, error)) ([]byte, error) {
	if s.journal == nil {
		return create()
	}
	var value []byte
	err := s.journal.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if v := b.Get([]byte(key)); v != nil {
			value = append([]byte(nil), v...)
			return nil
		}
		v, err := create()
		if err != nil {
			return err
		}
		value = v
		return b.Put([]byte(key), v)
	})
	if err != nil {
		return nil, fmt.Errorf("keep %s in journal: %w", key, err)
	}
	return value, nil
}

func revKey(rev uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, rev)
}
