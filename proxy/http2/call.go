package http2

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

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
	began   time.Time
	limit   time.Duration // until it is given up, by a look; 0 never; guarded by mu
	late    *lateness     // that gives it up instead; guarded by mu
	idle    time.Duration // until it is given up because nothing moves; 0 never; guarded by mu
	// tunnel is true for a CONNECT, whose success is told by 200.
	tunnel  bool
	interim func(int, *stream.Header) error
	greet   func() error
}

var calls = sync.Pool{New: func() any {
	k := &call{}
	k.owner = k
	k.req.Upload.Interrupt = k.stopReading
	k.req.Bound, k.req.BoundIdle = k.bound, k.boundIdle
	k.interim, k.greet = k.sendInterim, k.sendContinue
	return k
}}

// begin takes over the request's head. The caller holds mu.
func (k *call) begin(s *serving, h *head, end bool) {
	h.request(&s.cfg)
	if end && h.length > 0 {
		h.malformed("the content is not as long as content-length says")
	}
	k.s, k.ended, k.started, k.given, k.tunnel, k.refusal, k.broken = s, end, false, false, false, nil, h.broken
	k.info.Reset()
	k.began, k.limit, k.idle = time.Now(), s.cfg.StreamDuration, s.cfg.StreamIdleTimeout
	k.info.Start, k.info.Limit, k.info.Idle = k.began, k.limit, k.idle
	k.info.HeadReceived = int64(h.size)
	r := &k.req
	r.Method, r.Scheme, r.Authority, r.Path, r.Protocol = h.method, h.scheme, h.authority, h.path, stream.HTTP2
	r.Header.Swap(&h.fields)
	k.text, h.text = h.text, k.text
	r.Body, r.Length, r.Upgrade, r.ALPN, r.Limit, r.Idle = nil, 0, "", nil, k.limit, k.idle
	r.Conn, r.Info, r.Interim = s.facts, &k.info, k.interim
	r.Waiting.Reset()
	r.Arrival.Reset()
	k.declared = h.length
	switch {
	case h.tooLarge:
		k.refusal = &stream.Refusal{Status: 431, Details: "http2.headers_too_large", Flags: stream.DownstreamProtocol, Body: "request head is too large"}
	case h.broken == "" && h.method == "CONNECT":
		k.connect(h.protocol)
	}
}

// awaits has the end of the request noted when it comes, if it has not come yet.
func (k *call) awaits() {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if k.ended {
		k.req.Arrival.Note(k.info.Start)
	} else {
		k.arrival = &k.req.Arrival
	}
}

// connect turns an extended CONNECT (RFC 8441) into the upgrade that it stands
// for.
func (k *call) connect(protocol string) {
	if protocol == "" {
		k.tunnel, k.req.Upgrade = true, stream.Connect
		return
	}
	if !slices.ContainsFunc(k.s.cfg.Upgrades, func(u string) bool { return strings.EqualFold(u, protocol) }) {
		k.refusal = &stream.Refusal{Status: 501, Details: "http2.connect_not_supported", Flags: stream.DownstreamProtocol, Body: "CONNECT is not supported here"}
		return
	}
	k.tunnel = true
	k.req.Method, k.req.Upgrade = "GET", protocol
}

// lost implements owner. A client that breaks the protocol has left as well.
func (k *call) lost() {
	why := stream.DownstreamTermination
	if stream.IsSyntax(k.err) {
		why = stream.DownstreamProtocol
	}
	k.req.Waiting.Abandon(why)
}

// giveUp ends a request that takes too long, for a reason of [stream.Abandoned]. The
// caller holds mu.
func (k *call) giveUp(why stream.Flags) {
	k.req.Waiting.Abandon(why)
	k.unread = os.ErrDeadlineExceeded
	if k.started {
		k.c.resetStream(&k.transfer, Cancel, os.ErrDeadlineExceeded)
	}
	k.cond.Broadcast()
}

// bound changes how long the request may take.
func (k *call) bound(limit time.Duration) {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k.unbound()
	if limit > 0 {
		late := &lateness{}
		k.late = late
		late.timer = time.AfterFunc(time.Until(k.began.Add(limit)), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !late.off {
				k.giveUp(stream.DurationTimeout)
			}
		})
	}
}

// boundIdle changes how long nothing may move on the request.
func (k *call) boundIdle(idle time.Duration) {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.idle = idle; idle > 0 && s.timer != nil && s.err == nil {
		s.timer.Reset(0) // a look finds out how often to look
	}
}

// lateness gives one request up when its time is over.
type lateness struct {
	timer *time.Timer
	off   bool // guarded by the connection's mutex
}

// unbound lets the request take its time. The caller holds mu.
func (k *call) unbound() {
	k.limit = 0
	if k.late != nil {
		k.late.off = true
		k.late.timer.Stop()
		k.late = nil
	}
}

// run serves the request.
func (k *call) run() {
	s := k.s
	defer s.going.Done()
	k.frame()
	var resp *stream.Response
	var err error
	switch {
	case k.broken != "" && k.refusal == nil:
		resp = k.malformed()
	case k.refusal != nil:
		if k.s.cfg.Rewrite != nil {
			k.refusal = k.s.cfg.Rewrite(&k.req, k.refusal)
		}
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
	if k.tunnel {
		return // what comes is no content
	}
	whole := len(k.Buffered())
	if k.final && whole == 0 && k.trailers.Len() == 0 {
		k.req.Arrival.Note(k.info.Start)
		return
	}
	k.awaits()
	k.req.Body, k.req.Length = &k.transfer, k.declared
	if stream.Last(&k.transfer, 0) {
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
		k.info.CutOff(k.req.Waiting.Abandoned(), err)
	}
	stop := func() {}
	if k.req.Upload.Sending() {
		stop = stream.After(settleTime, k.stopReading)
	}
	if resp.Done != nil {
		resp.Done.Settle()
	}
	k.req.Upload.Wait()
	stop()
	k.leave(err)
	k.info.End, k.info.RequestDone = time.Now(), k.req.Arrival.At()
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
	k.unbound()
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
	k.info.DownstreamBytes = t.bytes
	if s.final && len(s.transfers) == 0 {
		s.closing = true
		s.signal()
	}
}

var errOver = errors.New("the request is over")

// deliver sends the response.
func (k *call) deliver(resp *stream.Response) error {
	k.info.Status = resp.Status
	if resp.Status == 0 || k.req.Waiting.Abandoned().Gone() {
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
		whole = stream.Last(resp.Body, resp.Length)
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
// its content p. It reports whether it took the content. It waits for the socket like
// content does: a client that reads no responses must not have them pile up.
func (k *call) sendHead(resp *stream.Response, bodyless bool, p []byte, whole bool) (bool, error) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for k.err == nil && len(c.out) >= outLimit {
		k.block()
	}
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
	if n := stream.Announced(resp.Body, resp.Length); n > 0 && status != 204 || n == 0 && resp.Body != nil {
		c.length(n)
	}
	c.endSection(&k.transfer, bodyless)
	k.started = true
	k.info.HeadSent, k.info.ReplyHead = int64(len(c.out)-from), int64(c.plain)
	c.signal()
	if whole && k.allowance(len(p)) == len(p) {
		k.data(p, true)
		return true, nil
	}
	return false, nil
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
