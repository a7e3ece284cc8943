package http1

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A client that goes away while an upstream takes its time is not seen by the
// goroutine that waits for the upstream. A watch looks now and then: it costs a
// request nothing unless the request takes longer than firstLook.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Second // looks become rarer while one request goes on
	shortLook = 10 * time.Millisecond
)

// watch looks after one connection's requests.
type watch struct {
	conn    net.Conn
	waiting *stream.Waiting
	squeeze *stream.Squeeze
	own     time.Duration // until a request is given up altogether; 0 never
	ownIdle time.Duration // until a request on which nothing moves is; 0 never
	// interrupt makes a read that waits for the client return; guarded by mu.
	interrupt func()

	limit   atomic.Int64  // own, or what holds for this request
	idle    atomic.Int64  // ownIdle, or what holds for this request
	began   atomic.Int64  // when the last request did, in Unix nanoseconds; set where there is a limit
	request atomic.Uint64 // odd while one is under way
	moves   atomic.Uint64
	armed   atomic.Bool

	mu       sync.Mutex
	timer    *time.Timer   // guarded by mu
	done     bool          // guarded by mu
	halves   bool          // guarded by mu: the client may end its direction alone
	seen     uint64        // guarded by mu: request at the last look
	seenMove uint64        // guarded by mu
	moved    time.Time     // guarded by mu: when moves was last seen to change
	every    time.Duration // guarded by mu
}

// begin says that a request is under way since then.
func (w *watch) begin(since time.Time) {
	if w.own > 0 {
		w.began.Store(since.UnixNano())
	}
	if w.limit.Load() != int64(w.own) {
		w.limit.Store(int64(w.own))
	}
	if w.idle.Load() != int64(w.ownIdle) {
		w.idle.Store(int64(w.ownIdle))
	}
	w.request.Add(1)
	if w.armed.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.every = firstLook
	w.armed.Store(true)
	if w.timer == nil {
		w.timer = time.AfterFunc(w.next(), w.look)
	} else {
		w.timer.Reset(w.next())
	}
}

// bound changes the limit of the request under way.
func (w *watch) bound(since time.Time, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began.Store(since.UnixNano())
	w.limit.Store(int64(limit))
	if w.timer != nil {
		w.timer.Reset(w.next())
	}
}

// boundIdle changes how long nothing may move on the request under way.
func (w *watch) boundIdle(idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle.Store(int64(idle))
	if w.timer != nil {
		w.timer.Reset(w.next())
	}
}

// next is when to look again: not later than a request reaches its limit, so that
// one that begins meanwhile is not missed either, and often enough that nothing
// rests longer than it may by more than two eighths.
func (w *watch) next() time.Duration {
	every := w.every
	if idle := time.Duration(w.idle.Load()); idle > 0 {
		every = min(every, max(idle/8, shortLook))
	}
	limit := time.Duration(w.limit.Load())
	if limit == 0 {
		return every
	}
	if w.request.Load()%2 == 0 {
		return min(every, limit)
	}
	return max(0, min(every, limit-w.age()))
}

// age is how long the request under way has taken.
func (w *watch) age() time.Duration { return time.Duration(time.Now().UnixNano() - w.began.Load()) }

// due is why the request is to be given up; 0 when it is not. still says that nothing
// has moved since the last look. The caller holds mu.
func (w *watch) due(still bool) stream.Flags {
	switch limit := time.Duration(w.limit.Load()); {
	case limit > 0 && w.age() >= limit:
		return stream.DurationTimeout
	case !still:
	case !w.halves && gone(w.conn):
		return stream.DownstreamTermination
	}
	if idle := time.Duration(w.idle.Load()); still && idle > 0 && time.Since(w.moved) >= w.squeeze.Of(idle) {
		return stream.StreamIdleTimeout
	}
	return 0
}

// give gives a request up, unless it has ended by itself meanwhile. The caller holds
// mu.
func (w *watch) give(up stream.Flags, looked uint64) bool {
	given := w.waiting.AbandonIf(up, func() bool { return w.request.Load() == looked })
	if given {
		w.interrupt()
	}
	return given
}

// tunnel says that the request under way has become a tunnel, which end ends. A client
// may end its own direction of it and stay.
func (w *watch) tunnel(end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halves, w.interrupt = true, end
}

// moving is a client's connection that counts reads and writes, for its watch.
type moving struct {
	conn  net.Conn
	moves *atomic.Uint64
}

// Read implements [io.Reader].
func (m moving) Read(p []byte) (int, error) {
	defer m.moves.Add(1)
	return m.conn.Read(p)
}

// Write implements [io.Writer].
func (m moving) Write(p []byte) (int, error) {
	defer m.moves.Add(1)
	return m.conn.Write(p)
}

// end says that it is over.
func (w *watch) end() { w.request.Add(1) }

// close ends the watch for good.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// look is called by the timer.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	current, moves := w.request.Load(), w.moves.Load()
	switch {
	case w.done:
		return
	case current%2 == 0:
		w.armed.Store(false)
		if w.request.Load() == current {
			return
		}
		w.armed.Store(true) // one has just begun
		w.every = firstLook
	default:
		still := current == w.seen && moves == w.seenMove
		if up := w.due(still); up != 0 && w.give(up, current) {
			return
		}
		w.every = min(2*w.every, lastLook)
		if !still {
			w.moved, w.every = time.Now(), firstLook
		}
	}
	w.seen, w.seenMove = current, moves
	w.timer.Reset(w.next())
}

// gone reports whether the connection's peer has left. Connections that are no
// sockets, and do not say it themselves, are believed to stay.
func gone(conn net.Conn) bool {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	if memory, ok := conn.(interface{ Ended() bool }); ok {
		return memory.Ended()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	left := false
	err = raw.Control(func(fd uintptr) { left = hungUp(fd) })
	return err != nil || left
}
