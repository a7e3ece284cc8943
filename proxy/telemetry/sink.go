package telemetry

import (
	"io"
	"os"
	"sync"
)

const (
	// flushSize is how much is gathered before a write is worth it.
	flushSize = 64 << 10
	// maxGathered is how much is kept for a file that takes its time.
	maxGathered = 4 << 20
)

// sink gathers lines and writes them in batches. A request never waits for the
// file, except the one whose line fills a batch.
type sink struct {
	path string

	mu      sync.Mutex
	lines   []byte // guarded by mu
	dropped int    // guarded by mu: lines that did not fit

	writing sync.Mutex
	out     io.Writer // guarded by writing; nil: opened at the next flush
	own     *os.File  // guarded by writing: what reopen closes
	spare   []byte    // guarded by writing: the other buffer
}

// draft is a line in the making.
type draft struct {
	record record
	text   []byte
}

var drafts = sync.Pool{New: func() any { return &draft{text: make([]byte, 0, 512)} }}

func (s *sink) write(line appender, r record) {
	d := drafts.Get().(*draft)
	d.record = r
	d.text = line(d.text[:0], &d.record)
	s.mu.Lock()
	if len(s.lines) < maxGathered {
		s.lines = append(s.lines, d.text...)
	} else {
		s.dropped++
	}
	full := len(s.lines) >= flushSize
	s.mu.Unlock()
	d.record = record{}
	drafts.Put(d)
	if full && s.writing.TryLock() {
		s.flushLocked()
		s.writing.Unlock()
	}
}

func (s *sink) flush() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.flushLocked()
}

// flushLocked writes what has been gathered; writing is held. Lines that cannot
// be written are lost: a full disk must not stop traffic.
func (s *sink) flushLocked() {
	s.mu.Lock()
	batch := s.lines
	s.lines = s.spare[:0]
	s.mu.Unlock()
	s.spare = batch
	if cap(s.spare) > 2*flushSize {
		s.spare = nil // a burst's buffer is not worth keeping
	}
	if len(batch) == 0 {
		return
	}
	if s.out == nil {
		file, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return
		}
		s.out, s.own = file, file
	}
	_, _ = s.out.Write(batch) // see above
}

// reopen closes the file, so that the next flush opens what has its name then.
func (s *sink) reopen() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.flushLocked()
	if s.own != nil {
		_ = s.own.Close()
		s.out, s.own = nil, nil
	}
}
