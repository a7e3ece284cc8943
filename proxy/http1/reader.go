package http1

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// firstBuffer is a connection's buffer before a head needs more.
const firstBuffer = 8 << 10

var errHeadTooLarge = errors.New("head is too large")

// reader buffers a connection. A message's head is parsed in place and its
// strings point into the buffer, so that the head's part is kept until next.
type reader struct {
	src io.Reader
	buf []byte
	// buf[r:w] has been received and not been read; buf[:base] is the head that
	// strings point into.
	base, r, w int
	// filled is true when the last read took all the room there was.
	filled bool
	// moves counts reads and, on the server's side, writes: it stands still
	// while a connection does. nil counts nothing.
	moves *atomic.Uint64
}

// bulkBuffer is the buffer while a long body passes, so that it takes fewer
// reads and writes.
const bulkBuffer = 64 << 10

var bulkBuffers = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}

// grow takes a large buffer when nothing is buffered. What strings point into
// lives on by itself.
func (b *reader) grow() {
	if b.r == b.w && len(b.buf) < bulkBuffer {
		b.buf = bulkBuffers.Get().(*[bulkBuffer]byte)[:]
		b.base, b.r, b.w, b.filled = 0, 0, 0, false
	}
}

// shrink gives a large buffer back. Nothing may point into it any more.
func (b *reader) shrink() {
	if b.r == b.w && len(b.buf) == bulkBuffer {
		bulkBuffers.Put((*[bulkBuffer]byte)(b.buf))
		b.buf, b.base, b.r, b.w = nil, 0, 0, 0
	}
}

// buffered is the number of bytes received and not read.
func (b *reader) buffered() int { return b.w - b.r }

// fill receives more, after making room. It never moves the head.
func (b *reader) fill() error {
	if b.buf == nil {
		b.buf = make([]byte, firstBuffer)
	}
	if b.r == b.w && b.r > b.base {
		b.r, b.w = b.base, b.base
	}
	if b.w == len(b.buf) {
		b.room()
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	b.filled = b.w == len(b.buf)
	if b.moves != nil {
		b.moves.Add(1)
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// room makes space behind w: by moving what has not been read up to the head,
// or with a larger buffer. The old one lives on while strings point into it.
func (b *reader) room() {
	if b.r > b.base && b.r-b.base >= len(b.buf)/4 {
		b.w = b.base + copy(b.buf[b.base:], b.buf[b.r:b.w])
		b.r = b.base
		return
	}
	larger := make([]byte, max(firstBuffer, 2*(b.w-b.r)+firstBuffer))
	b.w = copy(larger, b.buf[b.r:b.w])
	b.r, b.base = 0, 0
	b.buf = larger
}

// next lets go of the last message's head.
func (b *reader) next() {
	b.shrink()
	b.w = copy(b.buf, b.buf[b.r:b.w])
	b.r, b.base = 0, 0
}

// head receives a whole head, up to and with its empty line, and returns it. It
// stays in place until next.
func (b *reader) head(limit int) ([]byte, error) {
	seen := 0
	for {
		// An empty line before the request line is tolerated once by RFC 9112
		// section 2.2; real clients no longer send one, so that it is refused
		// by the parser like any other malformed line.
		if i := bytes.Index(b.buf[b.r+seen:b.w], crlfcrlf); i >= 0 {
			end := b.r + seen + i + len(crlfcrlf)
			if end-b.r > limit {
				return nil, errHeadTooLarge
			}
			head := b.buf[b.r:end]
			b.r, b.base = end, end
			return head, nil
		}
		seen = max(0, b.w-b.r-(len(crlfcrlf)-1))
		if b.w-b.r > limit {
			return nil, errHeadTooLarge
		}
		if err := b.fill(); err != nil {
			if errors.Is(err, io.EOF) && b.w > b.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

var crlfcrlf = []byte("\r\n\r\n")
