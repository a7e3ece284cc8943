package http2

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// transfer is one stream of a connection: what has come on it and what may be
// sent. It is the [stream.Body] of the message that it receives, for one
// consumer at a time.
type transfer struct {
	c  *conn
	id uint32
	// owner drives the transfer.
	owner owner
	// cond, on the connection's mutex, tells that something has come, may be sent,
	// or has failed.
	cond sync.Cond

	// The following are guarded by the connection's mutex.

	incoming    []byte          // content that nobody has taken yet
	ended       bool            // the peer has sent END_STREAM
	arrival     *stream.Arrival // is told of that; may be nil
	sentEnd     bool            // we have
	gone        bool            // one side has reset it, or the connection has ended
	err         error           // why it failed; nil while it has not
	unread      error           // why its content is not read any more
	trailers    stream.Header
	trailerText []byte
	recvWindow  int32 // what the peer may still send
	sendWindow  int32
	declared    int64 // Content-Length, or stream.Unknown
	received    int64
	unsaid      uint32 // credit that the peer has not been told of
	moves       uint32 // counts frames each way
	seenMoves   uint32 // at the last look
	still       time.Time
	blocked     bool // it waits for the connection's window or for room
	bytes       stream.Meter

	// The following belong to the consumer.

	reading []byte // content being read, taken from incoming as a whole
	at      int
	final   bool // nothing comes behind reading
	// onFirstRead is called before the first wait for content (100-continue).
	onFirstRead func() error
}

// owner is who a transfer belongs to: a request that is served, or one that is
// made.
type owner interface {
	// lost is told that the transfer has failed by itself. The connection's mutex
	// is held.
	lost()
}

// open prepares a transfer for its use as stream id. The caller holds mu.
func (t *transfer) open(c *conn, id uint32) {
	t.c, t.id = c, id
	t.cond.L = &c.mu
	t.incoming, t.reading, t.at = t.incoming[:0], t.reading[:0], 0
	t.ended, t.sentEnd, t.gone, t.final, t.blocked = false, false, false, false, false
	t.err, t.unread, t.onFirstRead, t.arrival = nil, nil, nil, nil
	t.trailers.Reset()
	t.recvWindow, t.sendWindow = c.localWindow(), c.peer.window
	t.declared, t.received, t.unsaid, t.moves, t.seenMoves = stream.Unknown, 0, 0, 0, 0
	t.still, t.bytes = time.Time{}, stream.Meter{}
}

// keptBuffer is the largest buffer that a transfer keeps for its next use.
const keptBuffer = 16 << 10

// shrink drops buffers that have grown.
func (t *transfer) shrink() {
	if cap(t.incoming) > keptBuffer {
		t.incoming = nil
	}
	if cap(t.reading) > keptBuffer {
		t.reading = nil
	}
	t.c = nil
}

// fail ends the transfer. The caller holds mu.
func (t *transfer) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.gone = true
	t.cond.Broadcast()
}

// take moves what has come to the consumer and gives the peer credit for what
// was read before. It reports whether there is something now. The caller holds
// mu.
func (t *transfer) take() bool {
	if t.at > 0 {
		t.credit(t.at)
	}
	t.reading, t.incoming, t.at = t.incoming, t.reading[:0], 0
	t.final = t.ended
	return len(t.reading) > 0
}

// credit lets the peer send n bytes more. The caller holds mu.
func (t *transfer) credit(n int) {
	t.c.credit(n)
	t.creditStream(n)
}

// creditStream is credit for the stream alone.
func (t *transfer) creditStream(n int) {
	if t.ended || t.gone {
		return
	}
	t.recvWindow += int32(n)
	// The peer is told in steps of a quarter of the window.
	if t.unsaid += uint32(n); t.unsaid >= t.c.cfg.StreamWindow/4 {
		t.c.out = appendWindow(t.c.out, t.id, t.unsaid)
		t.bytes.Sent += frameHead + 4
		t.unsaid = 0
		t.c.signal()
	}
}

// Read implements [stream.Body].
func (t *transfer) Read(p []byte) (int, error) {
	if len(t.Buffered()) == 0 {
		if t.Complete() {
			return 0, io.EOF
		}
		if err := t.Wait(); err != nil {
			return 0, err
		}
		if len(t.Buffered()) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, t.Buffered())
	t.Discard(n)
	return n, nil
}

// Wait implements [stream.Body].
func (t *transfer) Wait() error {
	if len(t.Buffered()) > 0 || t.final {
		return nil
	}
	if first := t.onFirstRead; first != nil {
		t.onFirstRead = nil
		if err := first(); err != nil {
			return err
		}
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for {
		switch {
		case t.take() || t.final:
			return nil
		case t.err != nil:
			return t.err
		case t.unread != nil:
			return t.unread
		}
		t.cond.Wait()
	}
}

// Buffered implements [stream.Body].
func (t *transfer) Buffered() []byte {
	if t.at == len(t.reading) && !t.final {
		t.c.mu.Lock()
		t.take()
		t.c.mu.Unlock()
	}
	return t.reading[t.at:]
}

// Discard implements [stream.Body].
func (t *transfer) Discard(n int) { t.at += n }

// Complete implements [stream.Body].
func (t *transfer) Complete() bool { return len(t.Buffered()) == 0 && t.final }

// Trailers implements [stream.Body].
func (t *transfer) Trailers() *stream.Header {
	if t.trailers.Len() == 0 {
		return nil
	}
	return &t.trailers
}

// Last implements [stream.Framed]: there may be trailers behind content whose
// length was announced.
func (t *transfer) Last() (last, known bool) { return t.final && t.trailers.Len() == 0, true }

// Announced implements [stream.Framed].
func (t *transfer) Announced() (length int64, known bool) { return t.declared, true }

// end notes that the peer has sent END_STREAM. The caller holds the connection's mutex.
func (t *transfer) end() {
	if t.ended = true; t.arrival != nil {
		t.arrival.Note(time.Now())
	}
}

// stopReading makes whoever waits for content stop.
func (t *transfer) stopReading() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.unread = os.ErrDeadlineExceeded
	t.cond.Broadcast()
}

// content sends p, as far as windows allow at a time, and ends our direction
// with it when end is set.
func (t *transfer) content(p []byte, end bool) error {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if t.err != nil {
			return t.err
		}
		n := t.allowance(len(p))
		if n > 0 || len(p) == 0 {
			t.data(p[:n], end && n == len(p))
			c.signal()
			if p = p[n:]; len(p) == 0 {
				return nil
			}
			continue
		}
		t.block()
	}
}

// block waits for room. The caller holds mu.
func (t *transfer) block() {
	if !t.blocked {
		t.blocked = true
		t.c.blocked = append(t.c.blocked, t)
	}
	t.cond.Wait()
}

// allowance is how much of n bytes may be sent in a frame now. The caller holds
// mu.
func (t *transfer) allowance(n int) int {
	c := t.c
	return max(0, min(n, int(t.sendWindow), int(c.sendWindow), int(c.peer.frame), outLimit-len(c.out)))
}

// data gathers one DATA frame. The caller holds mu and has asked for allowance.
func (t *transfer) data(p []byte, end bool) {
	c := t.c
	h := header{len(p), dataFrame, 0, t.id}
	if end {
		h.flags = flagEndStream
		t.sentEnd = true
	}
	c.out = append(appendHeader(c.out, h), p...)
	t.bytes.Sent += int64(frameHead + len(p))
	t.sendWindow -= int32(len(p))
	c.sendWindow -= int32(len(p))
	t.moves++
	c.guard.useful++
}

// body sends all of b, whose length may be stream.Unknown, and its trailers. It
// returns how many bytes of content.
func (t *transfer) body(b stream.Body, length int64) (int64, error) {
	var total int64
	for {
		p := b.Buffered()
		if len(p) == 0 {
			if b.Complete() {
				break
			}
			if err := b.Wait(); err != nil {
				return total, stream.SourceError{Err: err}
			}
			continue
		}
		end := stream.Last(b, length-total)
		if err := t.content(p, end); err != nil {
			return total, err
		}
		total += int64(len(p))
		b.Discard(len(p))
		if end {
			return total, nil
		}
	}
	if trailers := b.Trailers(); trailers != nil {
		return total, t.trailer(trailers)
	}
	return total, t.content(nil, true)
}

// trailer sends the fields behind the content, and ends our direction.
func (t *transfer) trailer(fields *stream.Header) error {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	c.beginSection()
	c.fields(fields)
	c.endSection(t, true)
	c.signal()
	return nil
}

var _ stream.Framed = (*transfer)(nil)
