package http2

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/http2/hpack"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// side is what server and client do differently. All methods are called by the
// goroutine that reads.
type side interface {
	// begin is what comes before the first frame.
	begin() error
	// section takes the header section of a stream, which the reader has decoded
	// into its head. The connection's mutex is not held.
	section(id uint32, h *head, end bool) error
	// last is the highest of the peer's streams that was taken up. The mutex is
	// held.
	last() uint32
	// stray is told of DATA on a stream that is over. The mutex is held.
	stray(id uint32) error
	// idle reports whether no stream with that id has been opened yet. The mutex
	// is held.
	idle(id uint32) bool
	// reset is told that the peer has reset a stream. The mutex is held.
	reset(t *transfer, code Code) error
	// goneAway is told of the peer's GOAWAY. The mutex is held.
	goneAway(last uint32, code Code)
	// quiet is called when everything that was received has been looked at.
	quiet()
	// look is called at intervals, by a timer. It gives the shortest time that a stream
	// of its own may rest, 0 when there is none. The mutex is held.
	look(now time.Time) time.Duration
}

// outLimit is how many bytes may be gathered before streams wait for the socket.
const outLimit = 256 << 10

// conn is one connection, either side.
type conn struct {
	nc   net.Conn
	cfg  Config
	side side

	// The following belong to the reader.

	buf     []byte
	r, w    int
	small   [4 << 10]byte // buf while little comes
	decoder *hpack.Decoder
	head    head
	partial partial // a header section in several frames
	content content // a DATA frame that has not come as a whole
	greeted bool    // the peer's first SETTINGS have come

	frames atomic.Uint64 // received

	wake   chan struct{} // holds one: there is something to write
	unread chan struct{} // closed when nobody reads any more

	mu      sync.Mutex
	encoder *hpack.Encoder
	// out is what is to be written next; other is the buffer that was written
	// last; both guarded by mu.
	out, other []byte
	section    int // where the header section that is being gathered begins in out
	plain      int // how long its names and values are
	transfers  map[uint32]*transfer
	blocked    []*transfer
	peer       peer
	acked      bool  // the peer knows our settings
	recvWindow int32 // of the connection: what the peer may still send
	unsaid     uint32
	sendWindow int32
	guard      guard
	err        error // why the connection has ended; nil while it has not
	closing    bool  // it ends when out has been written
	writing    time.Time
	heard      time.Time // when the last look saw that something had come
	headSince  time.Time // since when a header section has been arriving
	pong       func()    // called when the PING of a drain is answered
	lookedAt   uint64    // frames at the last look
	pinged     time.Time // when the keepalive PING was sent; zero when none is out
	timer      *time.Timer
}

// peer is what the other side's settings say.
type peer struct {
	window  int32 // of new streams
	frame   uint32
	streams uint32
	connect bool // extended CONNECT is allowed
}

// partial is a header section whose end has not come.
type partial struct {
	open   bool
	id     uint32
	end    bool // END_STREAM
	block  []byte
	wire   int // bytes of its frames so far
	frames int
}

// content is the rest of a DATA frame.
type content struct {
	id   uint32
	left int // bytes of content
	pad  int // bytes of padding behind it
	end  bool
	open bool
}

func newConn(nc net.Conn, cfg Config, s side) *conn {
	c := &conn{
		nc: nc, cfg: cfg, side: s,
		decoder: hpack.NewDecoder(cfg.TableSize), encoder: hpack.NewEncoder(),
		wake: make(chan struct{}, 1), unread: make(chan struct{}),
		transfers:  map[uint32]*transfer{},
		peer:       peer{window: initialWindow, frame: maxFrame, streams: 100},
		recvWindow: initialWindow, sendWindow: initialWindow,
	}
	c.buf = c.small[:]
	c.heard = time.Now()
	c.guard.since = c.heard
	return c
}

// greet gathers our settings and widens the connection's window.
func (c *conn) greet(settings ...uint32) {
	pairs := append([]uint32{
		settingMaxStreams, c.cfg.MaxStreams, settingInitialWindow, c.cfg.StreamWindow, settingMaxHeaderList, uint32(c.cfg.MaxHead),
		settingTableSize, c.cfg.TableSize,
	}, settings...)
	c.out = appendHeader(c.out, header{len(pairs) * 3, settingsFrame, 0, 0})
	for i := 0; i < len(pairs); i += 2 {
		c.out = appendSetting(c.out, uint16(pairs[i]), pairs[i+1])
	}
	if more := int64(c.cfg.ConnWindow) - initialWindow; more > 0 {
		c.recvWindow += int32(more)
		c.out = appendWindow(c.out, 0, uint32(more))
	}
	c.signal()
}

// signal says that there is something to write.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// localWindow is what the peer may send on a new stream: until it has
// acknowledged our settings, at least what the standard says. The caller holds
// mu.
func (c *conn) localWindow() int32 {
	if c.acked {
		return int32(c.cfg.StreamWindow)
	}
	return max(int32(c.cfg.StreamWindow), initialWindow)
}

// credit lets the peer send n bytes more on the connection. The caller holds mu.
func (c *conn) credit(n int) {
	c.recvWindow += int32(n)
	if c.unsaid += uint32(n); c.unsaid >= c.cfg.ConnWindow/4 {
		c.out = appendWindow(c.out, 0, c.unsaid)
		c.unsaid = 0
		c.signal()
	}
}

// unblock lets the streams that wait for room look again. The caller holds mu.
func (c *conn) unblock() {
	for i, t := range c.blocked {
		t.blocked = false
		t.cond.Broadcast()
		c.blocked[i] = nil
	}
	c.blocked = c.blocked[:0]
}

// beginSection starts a header section in out. The caller holds mu until
// endSection.
func (c *conn) beginSection() {
	c.section, c.plain = len(c.out), 0
	c.out = appendHeader(c.out, header{})
	c.out = c.encoder.Begin(c.out)
}

// field adds a field to the section.
func (c *conn) field(name, value string) {
	c.plain += len(name) + len(value)
	c.out = c.encoder.Field(c.out, name, value)
}

// fields adds all of h, as far as HTTP/2 knows them.
func (c *conn) fields(h *stream.Header) {
	for i := range h.Len() {
		f := h.At(i)
		if len(f.Name) == 2 && stream.EqualName(f.Name, "te") && f.Value != "trailers" {
			continue
		}
		c.field(f.Name, f.Value)
	}
}

// endSection completes the section of t, in several frames if it has to.
func (c *conn) endSection(t *transfer, end bool) {
	flags := uint8(0)
	if end {
		flags = flagEndStream
		t.sentEnd = true
	}
	t.moves++
	defer t.countSection(c.section)
	size := len(c.out) - c.section - frameHead
	if size <= int(c.peer.frame) {
		appendHeader(c.out[:c.section], header{size, headersFrame, flags | flagEndHeaders, t.id})
		return
	}
	block := append([]byte(nil), c.out[c.section+frameHead:]...)
	c.out = c.out[:c.section]
	for kind := headersFrame; len(block) > 0; kind, flags = continuationFrame, 0 {
		n := min(len(block), int(c.peer.frame))
		if n == len(block) {
			flags |= flagEndHeaders
		}
		c.out = append(appendHeader(c.out, header{n, kind, flags, t.id}), block[:n]...)
		block = block[n:]
	}
}

// countSection counts the header section that has been gathered from there on.
func (t *transfer) countSection(from int) {
	n := int64(len(t.c.out) - from)
	t.bytes.Sent += n
	t.bytes.HeadSent += n
	t.bytes.PlainSent += int64(t.c.plain)
}

// resetStream ends a stream with a code and takes it out. The caller holds mu.
func (c *conn) resetStream(t *transfer, code Code, err error) {
	if !t.gone {
		c.out = appendReset(c.out, t.id, code)
		c.signal()
	}
	t.fail(err)
}

// remove takes a transfer that is over out of the connection. The caller holds
// mu.
func (c *conn) remove(t *transfer) {
	delete(c.transfers, t.id)
	if t.blocked {
		c.blocked = slices.DeleteFunc(c.blocked, func(o *transfer) bool { return o == t })
		t.blocked = false
	}
	if n := len(t.incoming) + len(t.reading); n > 0 {
		c.credit(n)
		t.at, t.incoming, t.reading = 0, t.incoming[:0], t.reading[:0]
	}
}

// serve reads and writes until the connection has ended.
func (c *conn) serve(drain <-chan struct{}, drained func()) error {
	var writer sync.WaitGroup
	writer.Go(func() { c.write(drain, drained) })
	c.mu.Lock()
	every := c.cfg.squeezed().look()
	c.timer = time.AfterFunc(every, func() { c.look(every) })
	c.mu.Unlock()
	err := c.read()
	c.end(err)
	c.listen(err)
	close(c.unread)
	writer.Wait()
	c.mu.Lock()
	c.timer.Stop()
	c.mu.Unlock()
	return err
}

// end fails what is under way. A protocol error is told to the peer.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
}

func (c *conn) endLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	var told *protocolError
	if errors.As(err, &told) {
		c.out = appendGoAway(c.out, c.side.last(), told.code, told.text)
	}
	for _, t := range c.transfers {
		t.fail(err)
		t.owner.lost()
	}
	c.unblock()
	c.closing = true
	_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime)) // a write under way has to end too
	c.signal()
}

// drainPing is the payload of the PING whose answer shows that the peer knows of
// a drain.
const drainPing = "draining"

// small writes are worth a moment's wait: other streams may have something too.
const batch = 8 << 10

// write writes what is gathered, until the connection ends.
func (c *conn) write(drain <-chan struct{}, drained func()) {
	defer c.nc.Close()
	for {
		select {
		case <-c.wake:
		case <-drain:
			drain = nil
			drained()
			continue
		}
		for {
			c.mu.Lock()
			if n := len(c.out); n > 0 && n < batch && len(c.transfers) > 1 {
				c.mu.Unlock()
				runtime.Gosched()
				c.mu.Lock()
			}
			out, closing := c.out, c.closing
			c.out, c.other = c.other[:0], nil
			c.guard.owed = 0
			if len(out) > 0 {
				c.unblock()
				c.writing = time.Now()
			}
			c.mu.Unlock()
			if len(out) == 0 {
				c.mu.Lock()
				c.other = out
				c.mu.Unlock()
				if closing {
					c.linger()
					return
				}
				break
			}
			_, err := c.nc.Write(out)
			if cap(out) > outLimit/2 {
				out = nil
			}
			c.mu.Lock()
			c.other, c.writing = out, time.Time{}
			c.mu.Unlock()
			if err != nil {
				c.end(err)
				return
			}
		}
	}
}

// lingerTime bounds how long a peer is listened to after the last frame: a
// socket closed before would tell it of a reset instead.
const lingerTime = time.Second

// lingerBytes bounds what it may still say.
const lingerBytes = 1 << 20

// listen reads away what comes behind a failure that the peer is told of.
func (c *conn) listen(err error) {
	if !stream.IsSyntax(err) || c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	for total := 0; total < lingerBytes; {
		n, err := c.nc.Read(c.buf)
		if total += n; err != nil {
			return
		}
	}
}

// linger ends our direction and lets the peer end its own.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	late := time.NewTimer(lingerTime)
	defer late.Stop()
	select {
	case <-c.unread:
	case <-late.C:
	}
}

// lookNow has the next look come at once.
func (c *conn) lookNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil && c.err == nil {
		c.timer.Reset(0)
	}
}

// look watches over the connection's timeouts.
func (c *conn) look(every time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	now := time.Now()
	if frames := c.frames.Load(); frames != c.lookedAt {
		c.lookedAt, c.heard, c.pinged = frames, now, time.Time{}
	}
	switch d := c.cfg.StreamIdleTimeout; {
	case c.cfg.HeadTimeout > 0 && !c.headSince.IsZero() && now.Sub(c.headSince) >= c.cfg.HeadTimeout:
		c.endLocked(broken(EnhanceYourCalm, "a header section took too long"))
		return
	case d > 0 && !c.writing.IsZero() && now.Sub(c.writing) > d:
		c.endLocked(errors.New("the peer does not read"))
		c.nc.Close()
		return
	case c.cfg.Keepalive > 0 && !c.pinged.IsZero() && now.Sub(c.pinged) >= c.cfg.KeepaliveTimeout:
		c.endLocked(errors.New("the peer does not answer a keepalive PING"))
		c.nc.Close()
		return
	case c.cfg.Keepalive > 0 && c.pinged.IsZero() && now.Sub(c.heard) >= c.cfg.Keepalive:
		c.pinged = now
		c.out = append(appendHeader(c.out, header{8, pingFrame, 0, 0}), "lateenka"...)
		c.signal()
	}
	for _, t := range c.transfers {
		if t.moves != t.seenMoves || t.still.IsZero() {
			t.seenMoves, t.still = t.moves, now
		}
	}
	rest := c.side.look(now)
	if c.err == nil {
		if c.cfg.Squeezes.Any() {
			every = c.cfg.squeezed().look()
		}
		if rest > 0 {
			every = min(every, often(rest))
		}
		c.timer.Reset(every)
	}
}

// read reads frames until one side ends the connection.
func (c *conn) read() error {
	if err := c.side.begin(); err != nil {
		return err
	}
	for {
		for {
			more, err := c.frame()
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
		c.side.quiet()
		if err := c.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return err
		}
	}
}

// largeBuffer holds any frame that is looked at as a whole.
const largeBuffer = 32 << 10

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// fill receives more. The buffer is large while much comes.
func (c *conn) fill() error {
	if c.r == c.w {
		if len(c.buf) == largeBuffer && c.w < len(c.small) {
			largeBuffers.Put((*[largeBuffer]byte)(c.buf))
			c.buf = c.small[:]
		}
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) && c.r > 0 {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.grow()
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		if c.w == len(c.buf) && len(c.buf) < largeBuffer {
			c.grow()
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (c *conn) grow() {
	large := largeBuffers.Get().(*[largeBuffer]byte)[:]
	c.w = copy(large, c.buf[c.r:c.w])
	c.r, c.buf = 0, large
}

// settings gathers the acknowledgement of the peer's settings and applies them.
func (c *conn) settings(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(p) > 0; p = p[6:] {
		if err := c.setting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	c.out = appendHeader(c.out, header{0, settingsFrame, flagAck, 0})
	c.unblock()
	c.signal()
	return c.guard.owes()
}

// setting applies one setting (section 6.5.2). The caller holds mu.
func (c *conn) setting(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		c.encoder.Resize(value)
	case settingEnablePush:
		if value > 1 {
			return broken(ProtocolError, "ENABLE_PUSH is neither 0 nor 1")
		}
	case settingMaxStreams:
		c.peer.streams = value
	case settingInitialWindow:
		if value > maxWindow {
			return broken(FlowControlError, "INITIAL_WINDOW_SIZE is too large")
		}
		change := int64(value) - int64(c.peer.window)
		for _, t := range c.transfers {
			if int64(t.sendWindow)+change > maxWindow {
				return broken(FlowControlError, "INITIAL_WINDOW_SIZE makes a window too large")
			}
			t.sendWindow += int32(change)
		}
		c.peer.window = int32(value)
	case settingMaxFrame:
		if value < maxFrame || value > 1<<24-1 {
			return broken(ProtocolError, "MAX_FRAME_SIZE is out of range")
		}
		// Larger frames than the smallest allowed gain nothing.
	case settingConnect:
		c.peer.connect = value == 1
	}
	return nil
}
