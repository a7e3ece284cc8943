package http2

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Server is the server's side: it hands each stream of a connection to the
// handler, in a goroutine of its own.
type Server struct {
	cfg      Config
	handler  stream.Handler
	observer stream.Observer
}

// NewServer serves with handler. observer, which may be nil, is told of every
// request that was read, refused ones included.
func NewServer(cfg Config, handler stream.Handler, observer stream.Observer) *Server {
	return &Server{cfg: cfg.withDefaults(), handler: handler, observer: observer}
}

// serving is one connection that is served.
type serving struct {
	*conn
	server *Server
	facts  *stream.Conn
	ready  []*call // that have come since the reader last waited; the reader's
	going  sync.WaitGroup

	// The following are guarded by the connection's mutex.

	requests      int    // that were taken up
	opened, taken uint32 // the highest stream that came, and that was taken up
	draining      bool
	late          *time.Timer // ends a drain whose PING is not answered
	final         bool        // the last GOAWAY has been sent
	idleSince     time.Time
	// cut are streams that we have reset, the latest ones: the peer may not know
	// yet.
	cut  [64]uint32
	cuts int
}

// Serve reads requests until the connection ends, and closes it. It implements
// the listener's handler.
func (s *Server) Serve(nc net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	s.ServeFrom(nc, nil, facts, drain)
}

// ServeFrom is Serve for a connection of which somebody has already read the
// first bytes.
func (s *Server) ServeFrom(nc net.Conn, read []byte, facts *stream.Conn, drain <-chan struct{}) {
	v := &serving{server: s, facts: facts}
	v.conn = newConn(nc, s.cfg, v)
	if len(read) > len(v.buf) {
		v.buf = make([]byte, max(largeBuffer, len(read)))
	}
	v.w = copy(v.buf, read)
	v.mu.Lock()
	settings := []uint32{}
	if len(s.cfg.Upgrades) > 0 {
		settings = append(settings, settingConnect, 1)
	}
	v.greet(settings...)
	v.mu.Unlock()
	if s.cfg.Squeezes.Any() {
		facts.OnWake(v.lookNow)
		defer facts.OnWake(nil)
	}
	_ = v.serve(drain, v.drain) // how a connection ends is told with its requests
	v.going.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.late != nil {
		v.late.Stop()
	}
}

// begin implements side: the client's preface (section 3.4).
func (s *serving) begin() error {
	for s.w-s.r < len(preface) {
		if have := s.buf[s.r:s.w]; string(have) != preface[:len(have)] {
			return broken(ProtocolError, "the connection does not begin with the preface")
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
	if string(s.buf[s.r:s.r+len(preface)]) != preface {
		return broken(ProtocolError, "the connection does not begin with the preface")
	}
	s.r += len(preface)
	return nil
}

// section implements side: a request, or the trailers of one.
func (s *serving) section(id uint32, h *head, end bool) error {
	if id%2 == 0 {
		return broken(ProtocolError, "a client's stream has an even number")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id <= s.opened {
		return s.trailers(id, h, end)
	}
	s.opened = id
	if s.final {
		return nil // the client knows that it is not taken up
	}
	if s.full() {
		s.out = appendReset(s.out, id, RefusedStream)
		s.signal()
		s.noteCut(id)
		return errors.Join(s.guard.wasted(), s.guard.owes())
	}
	s.taken = id
	if s.requests++; s.requests == s.cfg.MaxRequests || s.cfg.Last != nil && s.cfg.Last() {
		s.startDrain()
	}
	s.guard.useful++
	s.idleSince = time.Time{}
	k := calls.Get().(*call)
	k.open(s.conn, id)
	h.meter(&k.bytes)
	k.begin(s, h, end)
	s.transfers[id] = &k.transfer
	s.ready = append(s.ready, k)
	if k.broken != "" {
		return s.guard.wasted()
	}
	return nil
}

// full reports whether the client may open no further stream. What counts is
// the streams that are open to the client, as the standard says (section 5.1.2):
// one that has been answered or reset is over for it at once, while its handler
// may take a moment more. Those that are not tidied away are bounded as well. The
// caller holds mu.
func (s *serving) full() bool {
	most := int(s.cfg.MaxStreams)
	if n := len(s.transfers); n < most || n >= 2*most {
		return n >= most
	}
	open := 0
	for _, t := range s.transfers {
		if !t.gone && (!t.ended || !t.sentEnd) {
			open++
		}
	}
	return open >= most
}

// trailers takes a section behind the content. The caller holds mu.
func (s *serving) trailers(id uint32, h *head, end bool) error {
	t := s.transfers[id]
	switch {
	case t == nil && s.cutOff(id) && !end:
		s.out = appendReset(s.out, id, ProtocolError)
		s.signal()
		return errors.Join(s.guard.wasted(), s.guard.owes())
	case s.final && id > s.taken, t == nil && s.cutOff(id), t != nil && t.gone && !t.owner.(*call).given:
		return s.guard.nothing()
	case t == nil, t.gone:
		return broken(StreamClosed, "HEADERS on a stream that is over")
	case t.ended:
		return s.violated(t, StreamClosed, "HEADERS behind the end of the stream")
	}
	return t.endWith(h, end)
}

// endWith takes the section that ends a stream. The caller holds mu.
func (t *transfer) endWith(h *head, end bool) error {
	h.meter(&t.bytes)
	h.trailer()
	switch {
	case !end:
		h.malformed("trailers without END_STREAM")
	case h.tooLarge:
		h.malformed("trailers are too long")
	case t.declared != stream.Unknown && t.received != t.declared:
		h.malformed("the content is not as long as content-length says")
	}
	if h.broken != "" {
		return t.c.violated(t, ProtocolError, h.broken)
	}
	t.trailers.Swap(&h.fields)
	t.trailerText, h.text = h.text, t.trailerText
	t.end()
	t.moves++
	t.cond.Broadcast()
	return nil
}

// last implements side.
func (s *serving) last() uint32 { return s.taken }

// idle implements side.
func (s *serving) idle(id uint32) bool { return id%2 == 0 || id > s.opened }

// stray implements side: what was under way when we gave a stream up is nothing
// to complain of.
func (s *serving) stray(id uint32) error {
	if t := s.transfers[id]; t != nil && !t.owner.(*call).given {
		return s.guard.nothing()
	}
	if !s.cutOff(id) && !s.final {
		return broken(StreamClosed, "DATA on a stream that is over")
	}
	return s.guard.nothing()
}

// cutOff reports whether we have ended the stream lately without the client.
func (s *serving) cutOff(id uint32) bool { return slices.Contains(s.cut[:], id) }

func (s *serving) noteCut(id uint32) {
	s.cut[s.cuts%len(s.cut)] = id
	s.cuts++
}

// reset implements side.
func (s *serving) reset(t *transfer, code Code) error {
	k := t.owner.(*call)
	early := !t.sentEnd && time.Since(k.began) < soon
	k.given = true
	t.fail(&stream.ResetError{Reason: strings.ToLower(code.String())})
	k.req.Waiting.Abandon(stream.DownstreamReset)
	if early {
		return s.guard.wasted()
	}
	return s.guard.nothing()
}

// goneAway implements side: a client that wants no more streams of ours, which
// there are none of.
func (s *serving) goneAway(uint32, Code) {}

// quiet implements side: requests are handled once everything that came with
// them has been looked at, so that a short body is there as a whole.
func (s *serving) quiet() {
	for i, k := range s.ready {
		s.going.Add(1)
		go k.run()
		s.ready[i] = nil
	}
	s.ready = s.ready[:0]
}

// look implements side.
func (s *serving) look(now time.Time) time.Duration {
	cfg := s.cfg.squeezed()
	shortest := time.Duration(0)
	for _, t := range s.transfers {
		k := t.owner.(*call)
		idle := s.cfg.Squeezes.Stream.Of(k.idle)
		switch {
		case k.limit > 0 && now.Sub(k.began) >= k.limit:
			k.giveUp(stream.DurationTimeout)
		case idle > 0 && now.Sub(t.still) >= idle:
			k.giveUp(stream.StreamIdleTimeout)
		case idle > 0 && (shortest == 0 || idle < shortest):
			shortest = idle
		}
	}
	switch {
	case len(s.transfers) > 0:
		s.idleSince = time.Time{}
	case s.idleSince.IsZero():
		s.idleSince = now
	case cfg.IdleTimeout > 0 && now.Sub(s.idleSince) >= cfg.IdleTimeout:
		s.goAwayNow()
	}
	if cfg.MaxDuration > 0 && now.Sub(s.facts.Start) >= cfg.MaxDuration {
		s.startDrain()
	}
	return shortest
}

// drain asks the client to open no more streams, and ends the connection when
// the last one is over.
func (s *serving) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startDrain()
}

// drainTime is how long a client may take to answer the PING of a drain.
const drainTime = time.Second

// startDrain tells the client to go away in two steps, so that streams that it
// has begun meanwhile are taken up (section 6.8). The caller holds mu.
func (s *serving) startDrain() {
	if s.draining {
		return
	}
	s.draining, s.pong = true, s.goAwayNow
	s.out = appendGoAway(s.out, maxID, NoError, "")
	s.out = append(appendHeader(s.out, header{8, pingFrame, 0, 0}), drainPing...)
	s.signal()
	s.late = time.AfterFunc(drainTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.goAwayNow()
	})
}

// goAwayNow takes no more streams up. The caller holds mu.
func (s *serving) goAwayNow() {
	if s.final || s.err != nil {
		return
	}
	s.draining, s.final = true, true
	s.out = appendGoAway(s.out, s.taken, NoError, "")
	s.closing = len(s.transfers) == 0
	s.signal()
}
