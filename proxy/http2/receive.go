package http2

import (
	"encoding/binary"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// frame handles the next frame in the buffer, or the part of a DATA frame that
// has come. It reports false when there is nothing more to handle.
func (c *conn) frame() (bool, error) {
	if c.content.open {
		return c.contentPart()
	}
	have := c.buf[c.r:c.w]
	if len(have) < frameHead {
		return false, nil
	}
	h := parseHeader(have)
	if h.length > maxFrame {
		return false, broken(FrameSizeError, "a frame is too long")
	}
	if !c.greeted && (h.kind != settingsFrame || h.has(flagAck)) {
		return false, broken(ProtocolError, "the first frame is not SETTINGS")
	}
	if c.partial.open && (h.kind != continuationFrame || h.id != c.partial.id) {
		return false, broken(ProtocolError, "another frame inside a header section")
	}
	if h.kind == dataFrame {
		return c.dataHead(h, have)
	}
	if len(have) < frameHead+h.length {
		return false, nil
	}
	c.r += frameHead + h.length
	c.frames.Add(1)
	return true, c.dispatch(h, have[frameHead:frameHead+h.length])
}

func (c *conn) dispatch(h header, p []byte) error {
	switch h.kind {
	case headersFrame:
		return c.headers(h, p)
	case continuationFrame:
		return c.continuation(h, p)
	case settingsFrame:
		return c.settingsFrame(h, p)
	case pushFrame:
		return broken(ProtocolError, "PUSH_PROMISE, which nobody asked for")
	case goAwayFrame:
		return c.goAway(h, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.kind {
	case priorityFrame:
		return c.priority(h, p)
	case resetFrame:
		return c.reset(h, p)
	case pingFrame:
		return c.ping(h, p)
	case windowFrame:
		return c.window(h, p)
	}
	return c.guard.nothing() // section 4.1: unknown types are ignored
}

// padding takes the padding off a frame's payload (section 6.1).
func padding(h header, p []byte) ([]byte, error) {
	if !h.has(flagPadded) {
		return p, nil
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, broken(ProtocolError, "padding is longer than the frame")
	}
	return p[1 : len(p)-int(p[0])], nil
}

// headers begins a header section (section 6.2).
func (c *conn) headers(h header, p []byte) error {
	if h.id == 0 {
		return broken(ProtocolError, "HEADERS on stream 0")
	}
	p, err := padding(h, p)
	if err != nil {
		return err
	}
	if h.has(flagPriority) {
		if len(p) < 5 {
			return broken(FrameSizeError, "HEADERS is too short for its priority")
		}
		if binary.BigEndian.Uint32(p)&maxID == h.id {
			return broken(ProtocolError, "a stream depends on itself")
		}
		p = p[5:]
	}
	if h.has(flagEndHeaders) {
		return c.wholeSection(h.id, p, frameHead+h.length, h.has(flagEndStream))
	}
	c.partial = partial{open: true, id: h.id, end: h.has(flagEndStream), block: append(c.partial.block[:0], p...), wire: frameHead + h.length}
	c.setHeadSince(time.Now())
	return nil
}

// setHeadSince notes since when a header section has been arriving.
func (c *conn) setHeadSince(t time.Time) {
	c.mu.Lock()
	c.headSince = t
	c.mu.Unlock()
}

// maxContinuations is how many frames a header section may have besides the
// first: enough for MaxHead in frames that are not absurdly small.
const maxContinuations = 32

// continuation goes on with a header section (section 6.10).
func (c *conn) continuation(h header, p []byte) error {
	s := &c.partial
	if !s.open {
		return broken(ProtocolError, "CONTINUATION without HEADERS")
	}
	s.frames++
	if s.frames > maxContinuations || len(s.block)+len(p) > 2*c.cfg.MaxHead+maxFrame {
		return broken(EnhanceYourCalm, "a header section is too long")
	}
	s.block = append(s.block, p...)
	s.wire += frameHead + h.length
	if !h.has(flagEndHeaders) {
		return nil
	}
	s.open = false
	c.setHeadSince(time.Time{})
	return c.wholeSection(s.id, s.block, s.wire, s.end)
}

// wholeSection takes a header section whose frames had so many bytes.
func (c *conn) wholeSection(id uint32, block []byte, wire int, end bool) error {
	if err := c.head.decode(c.decoder, block, &c.cfg); err != nil {
		return err
	}
	c.head.wire = wire
	return c.side.section(id, &c.head, end)
}

func (c *conn) settingsFrame(h header, p []byte) error {
	switch {
	case h.id != 0:
		return broken(ProtocolError, "SETTINGS on a stream")
	case h.has(flagAck) && len(p) != 0, len(p)%6 != 0:
		return broken(FrameSizeError, "SETTINGS has a wrong length")
	case h.has(flagAck):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acked = true
		return c.guard.nothing()
	}
	c.greeted = true
	c.mu.Lock()
	err := c.guard.nothing()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.settings(p)
}

func (c *conn) goAway(h header, p []byte) error {
	if h.id != 0 {
		return broken(ProtocolError, "GOAWAY on a stream")
	}
	if len(p) < 8 {
		return broken(FrameSizeError, "GOAWAY is too short")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.side.goneAway(binary.BigEndian.Uint32(p)&maxID, Code(binary.BigEndian.Uint32(p[4:])))
	return c.guard.nothing()
}

// priority checks a frame that has no effect any more (section 5.3.2).
func (c *conn) priority(h header, p []byte) error {
	if h.id == 0 {
		return broken(ProtocolError, "PRIORITY on stream 0")
	}
	if len(p) != 5 {
		return broken(FrameSizeError, "PRIORITY has a wrong length")
	}
	if binary.BigEndian.Uint32(p)&maxID == h.id {
		return broken(ProtocolError, "a stream depends on itself")
	}
	return c.guard.nothing()
}

func (c *conn) reset(h header, p []byte) error {
	if h.id == 0 || c.side.idle(h.id) {
		return broken(ProtocolError, "RST_STREAM on a stream that is not open")
	}
	if len(p) != 4 {
		return broken(FrameSizeError, "RST_STREAM has a wrong length")
	}
	t := c.transfers[h.id]
	if t == nil {
		return c.guard.nothing()
	}
	t.bytes.Received += frameHead + 4
	return c.side.reset(t, Code(binary.BigEndian.Uint32(p)))
}

func (c *conn) ping(h header, p []byte) error {
	if h.id != 0 {
		return broken(ProtocolError, "PING on a stream")
	}
	if len(p) != 8 {
		return broken(FrameSizeError, "PING has a wrong length")
	}
	if h.has(flagAck) {
		if string(p) == drainPing && c.pong != nil {
			c.pong()
		}
		return c.guard.nothing()
	}
	c.out = append(appendHeader(c.out, header{8, pingFrame, flagAck, 0}), p...)
	c.signal()
	if err := c.guard.nothing(); err != nil {
		return err
	}
	return c.guard.owes()
}

// window opens a window for us (section 6.9).
func (c *conn) window(h header, p []byte) error {
	if len(p) != 4 {
		return broken(FrameSizeError, "WINDOW_UPDATE has a wrong length")
	}
	n := int64(binary.BigEndian.Uint32(p) & maxID)
	if h.id == 0 {
		if n == 0 {
			return broken(ProtocolError, "WINDOW_UPDATE of 0")
		}
		if int64(c.sendWindow)+n > maxWindow {
			return broken(FlowControlError, "the connection's window is too large")
		}
		c.sendWindow += int32(n)
		c.unblock()
		return c.guard.nothing()
	}
	if c.side.idle(h.id) {
		return broken(ProtocolError, "WINDOW_UPDATE on a stream that is not open")
	}
	t := c.transfers[h.id]
	if t == nil {
		return c.guard.nothing()
	}
	t.bytes.Received += frameHead + 4
	if n == 0 {
		return c.violated(t, ProtocolError, "WINDOW_UPDATE of 0")
	}
	if int64(t.sendWindow)+n > maxWindow {
		return c.violated(t, FlowControlError, "a stream's window is too large")
	}
	t.sendWindow += int32(n)
	t.moves++
	t.cond.Broadcast()
	return c.guard.nothing()
}

// violated resets a stream whose peer has broken a rule that concerns the stream
// alone. Too many of them end the connection. The caller holds mu.
func (c *conn) violated(t *transfer, code Code, text string) error {
	c.resetStream(t, code, broken(code, text))
	t.owner.lost()
	if err := c.guard.wasted(); err != nil {
		return err
	}
	return c.guard.owes()
}

// dataHead begins a DATA frame (section 6.1). Its content is handed on as it
// comes.
func (c *conn) dataHead(h header, have []byte) (bool, error) {
	if h.id == 0 {
		return false, broken(ProtocolError, "DATA on stream 0")
	}
	used, pad := frameHead, 0
	if h.has(flagPadded) {
		if h.length == 0 {
			return false, broken(FrameSizeError, "DATA is too short for its padding")
		}
		if len(have) == frameHead {
			return false, nil
		}
		if used, pad = frameHead+1, int(have[frameHead]); pad >= h.length {
			return false, broken(ProtocolError, "padding is longer than the frame")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.side.idle(h.id) {
		return false, broken(ProtocolError, "DATA on a stream that is not open")
	}
	c.frames.Add(1)
	if h.length > int(c.recvWindow) {
		return false, broken(FlowControlError, "DATA beyond the connection's window")
	}
	c.recvWindow -= int32(h.length)
	c.r += used
	c.content = content{id: h.id, left: h.length - (used - frameHead) - pad, pad: pad, end: h.has(flagEndStream), open: true}
	if c.content.left > 0 {
		c.guard.useful++
	} else if err := c.guard.nothing(); err != nil && !c.content.end {
		return false, err
	}
	c.credit(h.length - c.content.left)
	t := c.transfers[h.id]
	switch {
	case t == nil:
		return true, c.side.stray(h.id)
	case t.gone:
		return true, c.side.stray(h.id)
	case t.ended:
		return true, c.violated(t, StreamClosed, "DATA behind the end of the stream")
	case h.length > int(t.recvWindow):
		return true, c.violated(t, FlowControlError, "DATA beyond the stream's window")
	default:
		t.recvWindow -= int32(h.length)
		t.bytes.Received += int64(frameHead + h.length)
		t.creditStream(h.length - c.content.left)
		t.received += int64(c.content.left)
		t.moves++
		if t.declared != stream.Unknown && (t.received > t.declared || c.content.end && t.received != t.declared) {
			return true, c.violated(t, ProtocolError, "the content is not as long as content-length says")
		}
	}
	return true, nil
}

// contentPart hands on what has come of a DATA frame.
func (c *conn) contentPart() (bool, error) {
	d := &c.content
	n := min(d.left, c.w-c.r)
	if n == 0 && d.left > 0 {
		return false, nil
	}
	p := c.buf[c.r : c.r+n]
	c.r += n
	d.left -= n
	skipped := 0
	if d.left == 0 {
		skipped = min(d.pad, c.w-c.r)
		c.r += skipped
		d.pad -= skipped
		d.open = d.pad > 0
	}
	done := d.left == 0 && !d.open
	if n == 0 && !done {
		return skipped > 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transfers[d.id]
	if t == nil || t.gone || t.ended {
		c.credit(n)
		return true, nil
	}
	t.incoming = append(t.incoming, p...)
	if done && d.end {
		t.end()
	}
	if n > 0 || t.ended {
		t.cond.Broadcast()
	}
	return true, nil
}
