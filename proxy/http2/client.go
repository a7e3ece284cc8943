package http2

import (
	"cmp"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Client is the client's side of one connection. Many requests share it: each
// reserves a place, then makes its exchange.
type Client struct {
	*conn
	// MaxRequests takes the connection out of use after so many requests; 0
	// never. Set before Run.
	MaxRequests uint32
	// Changed is told, with nothing held, when a place has come free or there will
	// be no more; it may be nil. Set before Run.
	Changed func()

	// The following are guarded by the connection's mutex.

	nextID    uint32
	places    int  // that are taken
	away      bool // no more places are given
	barred    bool // nor is one that was given of use: the server takes no more streams
	news      bool // Changed has something to learn
	opened    time.Time
	idleSince time.Time
}

// NewClient speaks HTTP/2 on nc. Nothing happens until Run.
func NewClient(nc net.Conn, cfg Config) *Client {
	c := &Client{nextID: 1, opened: time.Now()}
	c.conn = newConn(nc, cfg.withDefaults(), c)
	c.out = append(c.out, preface...)
	c.greet(settingEnablePush, 0)
	return c
}

// Run reads and writes until the connection ends. Requests may be begun before.
func (c *Client) Run() {
	_ = c.serve(nil, nil) // how it ends is told to those who use it
	c.changed()
}

func (c *Client) changed() {
	if c.Changed != nil {
		c.Changed()
	}
}

// Reserve takes a place for one request. It reports false when none is free.
func (c *Client) Reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || c.err != nil || c.places >= int(min(c.peer.streams, c.cfg.MaxStreams)) {
		return false
	}
	c.places++
	return true
}

// Usable reports whether more requests may be begun, now or when a place is
// free.
func (c *Client) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.away && c.err == nil
}

// Places is the number of requests under way.
func (c *Client) Places() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.places
}

// Release gives back a place that no exchange was made for.
func (c *Client) Release() {
	c.mu.Lock()
	c.leave()
	c.mu.Unlock()
	c.changed()
}

// leave frees a place. The caller holds mu.
func (c *Client) leave() {
	c.places--
	if c.places == 0 {
		c.idleSince = time.Time{}
		if c.away {
			c.closing = true
			c.signal()
		}
	}
}

// Shut ends the connection when its last request is over.
func (c *Client) Shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire()
}

// retire begins no more requests. The caller holds mu.
func (c *Client) retire() {
	if c.away {
		return
	}
	c.away = true
	if c.places == 0 && c.err == nil {
		c.out = appendGoAway(c.out, 0, NoError, "")
		c.closing = true
		c.signal()
	}
}

// ErrEnded says that the connection had ended before the exchange began:
// nothing has happened, the request may be made elsewhere.
var ErrEnded = errors.New("http2: the connection has ended")

// Exchange makes the exchange for a place that was reserved. It has to be
// finished.
func (c *Client) Exchange() *Exchange {
	e := exchanges.Get().(*Exchange)
	e.client = c
	e.sent, e.arrived, e.sending, e.finished, e.interrupted, e.failed, e.err = false, false, false, false, false, nil, nil
	return e
}

// Exchange is one request and its response. It is reused after Finish.
type Exchange struct {
	transfer
	client *Client
	req    *stream.Request
	resp   stream.Response
	text   []byte // that the response's strings point into
	span   time.Duration
	timer  *time.Timer
	// late counts the settings of timer, so that one of before does nothing, not even
	// when it fires in the exchange's next use.
	late atomic.Uint32

	// The following are guarded by the connection's mutex.

	sent     bool // the head has been gathered
	arrived  bool // the response's head has come
	interims []interim
	sending  bool // an upload is under way
	failed   error
	finished bool
	// interrupted is set when somebody else has ended it.
	interrupted bool
}

// interim is a 1xx response.
type interim struct {
	status int
	fields stream.Header
}

var exchanges = sync.Pool{New: func() any {
	e := &Exchange{}
	e.owner = e
	return e
}}

// RoundTrip sends req and returns the response once its head is there. The
// response belongs to the exchange and is valid until Finish. A deadline that is
// not zero bounds everything until Finish; while a body is still arriving its
// time has not begun to run.
func (e *Exchange) RoundTrip(req *stream.Request, deadline time.Time) (*stream.Response, error) {
	e.req, e.span = req, 0
	whole := req.Body == nil
	if !whole {
		whole = stream.Last(req.Body, req.Length)
	}
	whole, err := e.begin(req, whole)
	if err != nil {
		return nil, err
	}
	switch {
	case deadline.IsZero():
	case whole:
		e.SetDeadline(deadline)
	default:
		e.span = max(1, time.Until(deadline))
	}
	if !whole {
		e.upload(req)
	}
	req.Info.UpstreamSent = time.Now()
	return e.receive(req)
}

// begin opens the stream with the request's head and, when it is whole and there
// is room, its content. It reports whether the request has been sent with it.
func (e *Exchange) begin(req *stream.Request, whole bool) (bool, error) {
	var p []byte
	if req.Body != nil && whole {
		p = req.Body.Buffered()
	}
	c := e.client
	c.mu.Lock()
	switch {
	case e.interrupted:
		c.mu.Unlock()
		return false, os.ErrDeadlineExceeded
	case c.err != nil, c.barred, c.away && c.closing, c.nextID > maxID:
		c.mu.Unlock()
		return false, ErrEnded
	}
	e.open(c.conn, c.nextID)
	c.transfers[e.id] = &e.transfer
	if c.nextID += 2; c.nextID > maxID-2 || c.MaxRequests > 0 && c.nextID/2 >= c.MaxRequests {
		c.retire()
	}
	e.head(req)
	c.endSection(&e.transfer, req.Body == nil && req.Upgrade == "")
	e.sent = true
	c.signal()
	if req.Body == nil || !whole || e.allowance(len(p)) < len(p) {
		c.mu.Unlock()
		return req.Body == nil, nil
	}
	e.data(p, true)
	c.mu.Unlock()
	req.Body.Discard(len(p))
	req.Info.BytesReceived += int64(len(p))
	return true, nil
}

// head gathers the request's fields. The caller holds mu.
func (e *Exchange) head(req *stream.Request) {
	c := e.c
	c.beginSection()
	method := req.Method
	if req.Upgrade != "" {
		method = stream.Connect
	}
	c.field(":method", method)
	if req.Upgrade != "" && req.Upgrade != stream.Connect {
		c.field(":protocol", req.Upgrade)
	}
	c.field(":authority", req.Authority)
	if req.Upgrade != stream.Connect {
		c.field(":scheme", cmp.Or(req.Scheme, "http"))
		c.field(":path", req.Path)
	}
	c.fields(&req.Header)
	switch n := stream.Announced(req.Body, req.Length); {
	case n > 0, n == 0 && req.Body != nil:
		c.length(n)
	case req.Body == nil && req.Protocol != stream.HTTP2 && (req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH"):
		c.length(0)
	}
}

// upload sends a body that is still arriving, beside the reading of the answer.
func (e *Exchange) upload(req *stream.Request) {
	e.sending = true
	req.Upload.Go(func() {
		n, err := e.body(req.Body, req.Length)
		c := e.client
		c.mu.Lock()
		defer c.mu.Unlock()
		req.Info.BytesReceived += n
		e.sending, e.failed = false, err
		switch {
		case stream.IsSource(err):
			// The client has gone: nobody waits for the answer.
			c.resetStream(&e.transfer, Cancel, err)
		case err == nil && e.span > 0 && !e.finished:
			e.arm(time.Now().Add(e.span))
		}
	})
}

// receive waits for the response's head.
func (e *Exchange) receive(req *stream.Request) (*stream.Response, error) {
	c := e.client
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case len(e.interims) > 0:
			first := e.interims[0]
			e.interims = e.interims[1:]
			if req.Interim == nil || first.status == 100 { // servers send 100 themselves
				continue
			}
			c.mu.Unlock()
			err := req.Interim(first.status, &first.fields)
			c.mu.Lock()
			if err != nil {
				return nil, stream.SourceError{Err: err}
			}
			continue
		case e.arrived:
			return e.response(req), nil
		case e.err != nil:
			return nil, e.err
		}
		e.cond.Wait()
	}
}

// response completes the response. The caller holds mu.
func (e *Exchange) response(req *stream.Request) *stream.Response {
	r := &e.resp
	req.Info.UpstreamRecv = time.Now()
	r.Body, r.Upgraded, r.Upgrade, r.Done = nil, nil, "", nil
	if req.Upgrade != "" && r.Status >= 200 && r.Status < 300 {
		r.Upgrade, r.Upgraded = req.Upgrade, tunnel{&e.transfer}
		if req.Upgrade != stream.Connect {
			r.Status = 101
		}
		return r
	}
	switch {
	case e.bodyless():
		if e.ended && r.Length == stream.Unknown {
			r.Length = 0
		}
	case e.ended && e.trailers.Len() == 0:
		e.take()
		if r.Length = int64(len(e.reading)); r.Length > 0 {
			r.Body = &e.transfer
		}
	default:
		r.Body = &e.transfer
	}
	return r
}

// bodyless reports whether the response has no content, whatever length it tells.
func (e *Exchange) bodyless() bool {
	return e.req.Method == "HEAD" || e.resp.Status == 204 || e.resp.Status == 304
}

// Progress reports whether any of the request was sent, and whether any of the
// response came. What the server says it has not looked at counts as not sent.
func (e *Exchange) Progress() (sent, began bool) {
	e.client.mu.Lock()
	defer e.client.mu.Unlock()
	var reset *stream.ResetError
	return e.sent && !(errors.As(e.err, &reset) && reset.Unprocessed), e.arrived
}

// SetDeadline moves the deadline of the exchange under way; the zero time takes
// it away. While the body is still arriving it moves what comes behind that.
func (e *Exchange) SetDeadline(t time.Time) {
	e.client.mu.Lock()
	defer e.client.mu.Unlock()
	switch {
	case !e.sending || e.span == 0:
		e.arm(t)
	case t.IsZero():
		e.span = 0
	default:
		e.span = max(1, time.Until(t))
	}
}

// arm sets the timer. The caller holds mu.
func (e *Exchange) arm(t time.Time) {
	if e.timer != nil {
		e.late.Add(1)
		e.timer.Stop()
		e.timer = nil
	}
	if t.IsZero() {
		return
	}
	c, late := e.client, e.late.Load()
	e.timer = time.AfterFunc(time.Until(t), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.late.Load() == late {
			c.resetStream(&e.transfer, Cancel, os.ErrDeadlineExceeded)
		}
	})
}

// Interrupt ends the exchange from another goroutine, also one that is only about
// to begin.
func (e *Exchange) Interrupt() {
	c := e.client
	c.mu.Lock()
	defer c.mu.Unlock()
	e.interrupted = true
	if e.sent && !e.finished {
		c.resetStream(&e.transfer, Cancel, os.ErrDeadlineExceeded)
	}
}

// Settle ends an upload that is still under way although the answer is complete:
// the server is given a moment to take what it has been sent.
func (e *Exchange) Settle(req *stream.Request) {
	if req.Upload.Sending() {
		stop := stream.After(settleTime, e.Interrupt)
		req.Upload.Wait()
		stop()
	}
	e.client.mu.Lock()
	defer e.client.mu.Unlock()
	e.tell(req.Info)
}

// tell counts what has passed since it was told of. The caller holds mu.
func (e *Exchange) tell(info *stream.Info) {
	info.UpstreamBytes.Add(&e.bytes)
	e.bytes = stream.Meter{}
}

// Finish ends the exchange and gives its place back. It reports whether the
// connection may be used on.
func (e *Exchange) Finish() bool {
	c := e.client
	c.mu.Lock()
	e.finished = true
	e.arm(time.Time{})
	if e.sent {
		if !e.gone && (!e.ended || !e.sentEnd) {
			c.resetStream(&e.transfer, Cancel, errOver)
		}
		if e.err == nil {
			c.guard.answered()
		}
		c.remove(&e.transfer)
		e.tell(e.req.Info)
	}
	reusable := !e.sending
	good := c.err == nil && !c.away
	c.leave()
	c.mu.Unlock()
	c.changed()
	if reusable {
		e.shrink()
		e.req = nil
		e.interims = nil
		exchanges.Put(e)
	}
	return good
}

// lost implements owner.
func (e *Exchange) lost() {}

// begin implements side.
func (c *Client) begin() error { return nil }

// last implements side: servers open no streams.
func (c *Client) last() uint32 { return 0 }

// idle implements side.
func (c *Client) idle(id uint32) bool { return id%2 == 0 || id >= c.nextID }

// stray implements side: what was under way when we gave a stream up.
func (c *Client) stray(uint32) error { return c.guard.nothing() }

// quiet implements side.
func (c *Client) quiet() {
	c.mu.Lock()
	news := c.news
	c.news = false
	c.mu.Unlock()
	if news {
		c.changed()
	}
}

// section implements side: a response, an interim one, or trailers.
func (c *Client) section(id uint32, h *head, end bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle(id) {
		return broken(ProtocolError, "HEADERS on a stream that is not open")
	}
	t := c.transfers[id]
	if t == nil || t.gone {
		return c.guard.nothing()
	}
	e := t.owner.(*Exchange)
	if t.ended {
		return c.violated(t, StreamClosed, "HEADERS behind the end of the stream")
	}
	if e.arrived {
		return t.endWith(h, end)
	}
	h.meter(&t.bytes)
	h.response()
	switch {
	case end && h.status >= 100 && h.status < 200:
		h.malformed("an interim response ends the stream")
	case end && h.length > 0 && e.req.Method != "HEAD" && h.status != 304:
		h.malformed("the content is not as long as content-length says")
	}
	switch {
	case h.tooLarge:
		// As Envoy has it this is a reset, not a violation.
		c.resetStream(t, EnhanceYourCalm, &stream.ResetError{Reason: "the response head is too large"})
		return c.guard.wasted()
	case h.broken != "":
		return c.violated(t, ProtocolError, h.broken)
	}
	t.moves++
	t.cond.Broadcast()
	if h.status < 200 {
		if len(e.interims) >= 16 {
			return c.violated(t, EnhanceYourCalm, "too many interim responses")
		}
		e.interims = append(e.interims, interim{h.status, h.fields.Clone()})
		return c.guard.nothing()
	}
	e.arrived = true
	e.resp.Status, e.resp.Length = h.status, h.length
	e.resp.Header.Swap(&h.fields)
	e.text, h.text = h.text, e.text
	if t.ended = end; !e.bodyless() {
		t.declared = h.length
	}
	return nil
}

// reset implements side.
func (c *Client) reset(t *transfer, code Code) error {
	t.fail(&stream.ResetError{Reason: strings.ToLower(code.String()), Unprocessed: code == RefusedStream})
	return c.guard.nothing()
}

// goneAway implements side: what the server has not taken up may be made again, and
// what has a place but has not begun is made elsewhere (section 6.8: "Receivers of a
// GOAWAY frame MUST NOT open additional streams on the connection").
func (c *Client) goneAway(last uint32, code Code) {
	for id, t := range c.transfers {
		if id > last {
			t.fail(&stream.ResetError{Reason: "goaway " + strings.ToLower(code.String()), Unprocessed: true})
		}
	}
	c.barred, c.news = true, true
	c.retire()
}

// look implements side.
func (c *Client) look(now time.Time) time.Duration {
	switch {
	case c.places > 0:
		c.idleSince = time.Time{}
	case c.idleSince.IsZero():
		c.idleSince = now
	case c.cfg.IdleTimeout > 0 && now.Sub(c.idleSince) >= c.cfg.IdleTimeout:
		c.retire()
	}
	if c.cfg.MaxDuration > 0 && now.Sub(c.opened) >= c.cfg.MaxDuration {
		c.retire()
	}
	return 0
}
