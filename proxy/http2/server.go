package http2

import (
	"errors"
	"io"
	"net"
	"os"
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
	_ = v.serve(drain, v.drain) // how a connection ends is told with its requests
	v.going.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.late != nil {
		v.late.Stop()
	}
}

// call is one request that is served. It is reused.
type call struct {
	transfer
	s     *serving
	req   stream.Request
	info  stream.Info
	local stream.Response // for replies of our own
	text  []byte          // that the request's strings point into
	// refusal answers a request that is not for the handler; nil otherwise.
	refusal *stream.Refusal
	broken  string // what makes the request malformed
	started bool   // the response's head has been gathered; guarded by mu
	given   bool   // the client has reset the stream; guarded by mu
	// tunnel is true for a CONNECT, whose success is told by 200.
	tunnel  bool
	interim func(int, *stream.Header) error
	greet   func() error
}

var calls = sync.Pool{New: func() any {
	k := &call{}
	k.owner = k
	k.req.Upload.Interrupt = k.stopReading
	k.interim, k.greet = k.sendInterim, k.sendContinue
	return k
}}

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
	s.guard.useful++
	s.idleSince = time.Time{}
	k := calls.Get().(*call)
	k.open(s.conn, id)
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
	case t == nil && s.cutOff(id), t != nil && t.gone && !t.owner.(*call).given:
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
	t.ended = true
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
	early := !t.sentEnd && time.Since(k.info.Start) < soon
	k.given = true
	t.fail(&stream.ResetError{Reason: strings.ToLower(code.String())})
	k.req.Waiting.Abandon(stream.DownstreamTermination)
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
func (s *serving) look(now time.Time) {
	if d := s.cfg.StreamIdleTimeout; d > 0 {
		for _, t := range s.transfers {
			if now.Sub(t.still) >= d {
				t.owner.(*call).stalled()
			}
		}
	}
	switch {
	case len(s.transfers) > 0:
		s.idleSince = time.Time{}
	case s.idleSince.IsZero():
		s.idleSince = now
	case s.cfg.IdleTimeout > 0 && now.Sub(s.idleSince) >= s.cfg.IdleTimeout:
		s.goAwayNow()
	}
	if s.cfg.MaxDuration > 0 && now.Sub(s.facts.Start) >= s.cfg.MaxDuration {
		s.startDrain()
	}
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

// begin takes over the request's head. The caller holds mu.
func (k *call) begin(s *serving, h *head, end bool) {
	h.request(&s.cfg)
	if end && h.length > 0 {
		h.malformed("the content is not as long as content-length says")
	}
	k.s, k.ended, k.started, k.given, k.tunnel, k.refusal, k.broken = s, end, false, false, false, nil, h.broken
	k.info.Reset()
	k.info.Start = time.Now()
	k.info.HeadReceived = int64(h.size)
	r := &k.req
	r.Method, r.Scheme, r.Authority, r.Path, r.Protocol = h.method, h.scheme, h.authority, h.path, stream.HTTP2
	r.Header.Swap(&h.fields)
	k.text, h.text = h.text, k.text
	r.Body, r.Length, r.Upgrade, r.ALPN = nil, 0, "", nil
	r.Conn, r.Info, r.Interim = s.facts, &k.info, k.interim
	r.Waiting.Reset()
	k.declared = h.length
	switch {
	case h.tooLarge:
		k.refusal = &stream.Refusal{Status: 431, Details: "http2.headers_too_large", Flags: stream.DownstreamProtocol, Body: "request head is too large"}
	case h.broken == "" && h.method == "CONNECT":
		k.connect(h.protocol)
	}
}

// connect turns an extended CONNECT (RFC 8441) into the upgrade that it stands
// for.
func (k *call) connect(protocol string) {
	if protocol == "" || !slices.ContainsFunc(k.s.cfg.Upgrades, func(u string) bool { return strings.EqualFold(u, protocol) }) {
		k.refusal = &stream.Refusal{Status: 501, Details: "http2.connect_not_supported", Flags: stream.DownstreamProtocol, Body: "CONNECT is not supported here"}
		return
	}
	k.tunnel = true
	k.req.Method, k.req.Upgrade = "GET", protocol
}

// lost implements owner.
func (k *call) lost() { k.req.Waiting.Abandon(stream.DownstreamTermination) }

// stalled gives up a request on which nothing moves. The caller holds mu.
func (k *call) stalled() {
	k.req.Waiting.Abandon(stream.StreamIdleTimeout)
	k.unread = os.ErrDeadlineExceeded
	if k.started {
		k.c.resetStream(&k.transfer, Cancel, os.ErrDeadlineExceeded)
	}
	k.cond.Broadcast()
}

// run serves the request.
func (k *call) run() {
	s := k.s
	defer s.going.Done()
	k.frame()
	var resp *stream.Response
	var err error
	switch {
	case k.broken != "":
		resp = k.malformed()
	case k.refusal != nil:
		resp = stream.Reply(&k.req, k.refusal, &k.local)
	default:
		if resp, err = s.server.handler.Handle(&k.req); err != nil {
			resp = stream.Reply(&k.req, stream.AsRefusal(err), &k.local)
		}
	}
	k.answer(resp)
	k.shrink()
	k.req.Conn, k.s = nil, nil
	calls.Put(k)
}

// malformed notes a request that is no request: its stream is reset (section
// 8.1.1).
func (k *call) malformed() *stream.Response {
	k.info.Flags, k.info.Details, k.info.Termination = stream.DownstreamProtocol, "http2.protocol_error", k.broken
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	k.s.resetStream(&k.transfer, ProtocolError, broken(ProtocolError, k.broken))
	k.local = stream.Response{Header: k.local.Header}
	return &k.local
}

// frame prepares the request's body. One that has come as a whole has a length,
// whether it was announced or not.
func (k *call) frame() {
	whole := len(k.Buffered())
	if k.final && whole == 0 && k.trailers.Len() == 0 {
		k.info.RequestDone = k.info.Start
		return
	}
	k.req.Body, k.req.Length = &k.transfer, k.declared
	if last(&k.transfer, 0, 0) {
		k.req.Length = int64(whole)
	}
	if expect := k.req.Header.Get("expect"); stream.EqualName(expect, "100-continue") {
		k.req.Header.Del("expect")
		if whole == 0 {
			k.onFirstRead = k.greet
		}
	}
}

func (k *call) sendContinue() error { return k.sendInterim(100, nil) }

// sendInterim sends a 1xx response.
func (k *call) sendInterim(status int, h *stream.Header) error {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.err != nil || k.started {
		return k.err
	}
	c.beginSection()
	c.field(":status", statusText(status))
	if h != nil {
		c.fields(h)
	}
	c.endSection(&k.transfer, false)
	c.signal()
	return nil
}

// settleTime is how long an upload may go on when the answer is complete.
const settleTime = 250 * time.Millisecond

// answer sends resp and ends the request.
func (k *call) answer(resp *stream.Response) {
	err := k.deliver(resp)
	if err != nil {
		k.failed(err)
	}
	if k.req.Upload.Sending() {
		late := time.AfterFunc(settleTime, k.stopReading)
		if resp.Done != nil {
			resp.Done.Settle()
		}
		k.req.Upload.Wait()
		late.Stop()
	}
	k.leave(err)
	k.info.End = time.Now()
	if k.s.server.observer != nil {
		k.s.server.observer.Request(&k.req, resp)
	}
	if resp.Done != nil {
		resp.Done.Release(err == nil)
	}
}

// leave takes the stream out of the connection, and resets it if one side has
// not ended it.
func (k *call) leave(err error) {
	s, t := k.s, &k.transfer
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.gone && (!t.ended || !t.sentEnd) {
		code := InternalError
		switch {
		case err == nil && t.sentEnd:
			code = NoError // section 8.1: the rest of the request is not needed
		case err == nil:
			code = Cancel
		}
		s.resetStream(t, code, errOver)
	}
	if t.sentEnd {
		s.guard.answered()
	}
	if !t.ended && !k.given {
		s.noteCut(t.id)
	}
	s.remove(t)
	if s.final && len(s.transfers) == 0 {
		s.closing = true
		s.signal()
	}
}

var errOver = errors.New("the request is over")

// deliver sends the response.
func (k *call) deliver(resp *stream.Response) error {
	k.info.Status = resp.Status
	if resp.Status == 0 || k.req.Waiting.Abandoned() == stream.DownstreamTermination {
		k.info.Status = 0 // nobody is there
		return nil
	}
	if resp.Upgraded != nil {
		return k.carry(resp)
	}
	bodyless := resp.Body == nil || k.req.Method == "HEAD" || resp.Status == 204 || resp.Status == 304
	var p []byte
	whole := false
	if !bodyless {
		p = resp.Body.Buffered()
		whole = last(resp.Body, len(p), resp.Length)
	}
	whole, err := k.sendHead(resp, bodyless, p, whole)
	switch {
	case err != nil || bodyless:
		return err
	case whole:
		resp.Body.Discard(len(p))
		k.info.BytesSent = int64(len(p))
		return nil
	}
	k.info.BytesSent, err = k.body(resp.Body, resp.Length)
	return err
}

// sendHead gathers the response's head and, when it is whole and there is room,
// its content p. It reports whether it took the content.
func (k *call) sendHead(resp *stream.Response, bodyless bool, p []byte, whole bool) (bool, error) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.err != nil {
		return false, k.err
	}
	from := len(c.out)
	status := resp.Status
	if k.tunnel && status == 101 {
		status = 200
	}
	c.beginSection()
	c.field(":status", statusText(status))
	c.fields(&resp.Header)
	if n := announced(resp.Body, resp.Length); n > 0 && status != 204 || n == 0 && resp.Body != nil {
		c.length(n)
	}
	c.endSection(&k.transfer, bodyless)
	k.started = true
	k.info.HeadSent = int64(len(c.out) - from)
	c.signal()
	if whole && k.allowance(len(p)) == len(p) {
		k.data(p, true)
		return true, nil
	}
	return false, nil
}

// announced is the length that a message's head tells: not one that was only
// found out because all of the content was there.
func announced(b stream.Body, length int64) int64 {
	if t, ok := b.(*transfer); ok {
		return t.declared
	}
	return length
}

// carry answers a CONNECT and then carries bytes both ways until both sides have
// ended.
func (k *call) carry(resp *stream.Response) error {
	resp.Length = stream.Unknown
	if _, err := k.sendHead(resp, false, nil, false); err != nil {
		return err
	}
	up, down := resp.Upgraded, tunnel{&k.transfer}
	var upward sync.WaitGroup
	upward.Go(func() {
		n, err := io.Copy(up, down)
		k.info.BytesReceived += n
		endWrite(up, err)
	})
	n, err := io.Copy(down, up)
	k.info.BytesSent += n
	if err == nil {
		err = down.CloseWrite()
	} else {
		k.stopReading()
	}
	upward.Wait()
	up.Close()
	return err
}

// failed notes why a response was not delivered.
func (k *call) failed(err error) {
	var reset *stream.ResetError
	switch why := k.req.Waiting.Abandoned(); {
	case why == stream.StreamIdleTimeout:
		k.info.Flags |= why
		k.info.Details = "stream_idle_timeout"
		return
	case why != 0:
	case stream.IsSource(err) && errors.Is(err, os.ErrDeadlineExceeded):
		k.info.Flags |= stream.UpstreamTimeout
		k.info.Details = "response_timeout"
		return
	case stream.IsSource(err) && errors.As(err, &reset):
		k.info.Flags |= stream.UpstreamReset
		k.info.Details = "upstream_reset_after_response_started{remote_reset}"
		return
	case stream.IsSource(err):
		k.info.Flags |= stream.UpstreamTermination
		k.info.Details = "upstream_reset_after_response_started{connection_termination}"
		return
	}
	k.info.Flags |= stream.DownstreamTermination
	k.info.Details = "downstream_remote_disconnect"
}
