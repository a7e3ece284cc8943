package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Server is the server's side: it reads requests off connections and writes the
// handler's answers, one after the other, in one goroutine a connection.
type Server struct {
	cfg      Config
	handler  stream.Handler
	observer stream.Observer
}

// NewServer serves with handler. observer, which may be nil, is told of every
// request that was read, refused ones included.
func NewServer(cfg Config, handler stream.Handler, observer stream.Observer) *Server {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Hour
	}
	if cfg.HeadTimeout == 0 {
		cfg.HeadTimeout = time.Minute
	}
	return &Server{cfg: cfg, handler: handler, observer: observer}
}

// serving is one connection's state. It is reused for the next connection.
type serving struct {
	*Server
	conn  net.Conn
	facts *stream.Conn
	drain <-chan struct{}
	in    reader
	out   writer
	req   stream.Request
	info  stream.Info
	body  body
	local stream.Response // for replies of our own
	watch *watch
	rest  *rest // nil where no timeout is squeezed
	// deadline is when the read deadline on conn falls; zero when none is set.
	deadline time.Time
	served   int   // requests that have been answered
	before   int64 // bytes that had been sent before this request's answer
	// unread is true when the client may still be sending what nobody will read.
	unread bool
	// prior is true when the client turned out to speak HTTP/2.
	prior bool
}

var servings = sync.Pool{New: func() any { return new(serving) }}

// Serve reads requests until the connection ends, and closes it. It implements
// the listener's handler.
func (s *Server) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	c := servings.Get().(*serving)
	c.Server, c.conn, c.facts, c.drain = s, conn, facts, drain
	c.in.src, c.out.dst, c.out.sent = conn, conn, 0
	c.in.base, c.in.r, c.in.w = 0, 0, 0
	c.served, c.unread, c.prior, c.deadline = 0, false, false, time.Time{}
	c.req.Upload.Interrupt = c.stopReading
	if c.rest = nil; s.cfg.Squeezes.Any() {
		c.rest = &rest{conn: conn}
		facts.OnWake(c.rest.wake)
	}
	c.watch = &watch{conn: conn, waiting: &c.req.Waiting, ownIdle: s.cfg.StreamIdleTimeout, squeeze: s.cfg.Squeezes.Stream, own: s.cfg.StreamDuration, interrupt: c.stopAll}
	if c.req.Interim = nil; s.cfg.Proxy100Continue {
		c.req.Interim = c.sendInterim
	}
	c.req.Limit, c.req.Idle = s.cfg.StreamDuration, s.cfg.StreamIdleTimeout
	c.req.Bound = func(limit time.Duration) { c.watch.bound(c.info.Start, limit) }
	c.req.BoundIdle = c.watch.boundIdle
	c.in.moves, c.out.moves = &c.watch.moves, &c.watch.moves
	for c.one() {
		c.in.next()
	}
	c.watch.close()
	if c.rest != nil {
		facts.OnWake(nil)
	}
	var read []byte
	if c.prior {
		read = append([]byte(preface), c.in.buf[c.in.r:c.in.w]...)
		c.setReadDeadline(time.Time{})
	} else {
		if c.unread {
			c.linger()
		}
		conn.Close()
	}
	c.req.Upload.Wait()
	// A grown buffer is not worth keeping.
	if c.in.r, c.in.w = 0, 0; len(c.in.buf) > firstBuffer {
		c.in.shrink()
		c.in.buf = nil
	}
	c.Server, c.conn, c.facts, c.drain, c.in.src, c.out.dst, c.watch, c.rest, c.in.moves, c.out.moves = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	c.req.Bound, c.req.BoundIdle, c.req.Interim = nil, nil, nil
	servings.Put(c)
	if read != nil {
		s.cfg.HTTP2(conn, read, facts, drain)
	}
}

// stopReading makes a read that waits for the client return.
func (c *serving) stopReading() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) }

// stopAll makes writes return as well.
func (c *serving) stopAll() { _ = c.conn.SetDeadline(time.Unix(1, 0)) }

// lingerTime and lingerBytes bound how long a client that is still sending is
// listened to after the last reply: a socket closed before would tell it of a
// reset instead of the reply (RFC 9112 section 9.6).
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

func (c *serving) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	c.in.shrink()
	if len(c.in.buf) == 0 {
		return
	}
	for total := 0; total < lingerBytes; {
		n, err := c.conn.Read(c.in.buf)
		if total += n; err != nil {
			return
		}
	}
}

// one serves one request and reports whether another may follow.
func (c *serving) one() bool {
	if !c.await() {
		return false
	}
	c.info.Reset()
	c.info.Start = time.Now()
	limited := !c.wholeHead() && c.cfg.HeadTimeout > 0
	if limited {
		c.setReadDeadline(c.info.Start.Add(c.cfg.HeadTimeout))
	}
	head, err := c.in.head(c.cfg.Limits.MaxHead)
	if limited {
		c.setReadDeadline(time.Time{})
	}
	if err != nil {
		return c.headFailed(err)
	}
	if string(head) == preface {
		if c.prior = c.cfg.HTTP2 != nil && c.served == 0; c.prior {
			return false
		}
		return c.refuseHTTP2()
	}
	c.resetRequest(len(head))
	c.info.DownstreamBytes.Received = int64(len(head))
	f, err := requestHead(head, &c.req, c.cfg.Limits)
	if err != nil {
		return c.refuseSyntax(err)
	}
	c.info.DownstreamBytes.HeadReceived1(f.size)
	if c.req.Protocol == stream.HTTP10 && !c.cfg.AcceptHTTP10 {
		return c.refuseSyntax(&syntaxError{426, "low_version", "HTTP/1.0 is not accepted here"})
	}
	if c.req.Protocol == stream.HTTP10 && c.req.Authority == "" {
		c.req.Authority = c.cfg.DefaultHost
	}
	if c.req.Method == stream.Connect && (f.chunked || f.length > 0) {
		return c.refuseSyntax(bad("CONNECT with content"))
	}
	c.frame(f)
	c.watch.begin(c.info.Start)
	resp, err := c.handler.Handle(&c.req)
	if err != nil {
		resp = stream.Reply(&c.req, stream.AsRefusal(err), &c.local)
		f.close = f.close || stream.AsRefusal(err).Close
	}
	if c.req.Method == stream.Connect && resp.Upgraded == nil {
		f.close, c.unread = true, true // what follows may be meant for the tunnel
	}
	return c.answer(resp, f)
}

// preface is the head of what begins an HTTP/2 connection (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\n"

// goAway is an empty SETTINGS frame, then GOAWAY with HTTP_1_1_REQUIRED.
const goAway = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" +
	"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x0d"

// refuseHTTP2 tells an HTTP/2 client, in its own protocol, to use HTTP/1.1.
func (c *serving) refuseHTTP2() bool {
	c.resetRequest(len(preface))
	c.info.Flags, c.info.Details = stream.DownstreamProtocol, "http2_not_supported"
	c.info.Termination = "HTTP/2 is not spoken on this listener: use HTTP/1.1"
	_, err := io.WriteString(c.conn, goAway)
	c.unread = err == nil
	c.note(&c.local)
	return false
}

// note ends the request's record.
func (c *serving) note(resp *stream.Response) {
	c.info.End, c.info.RequestDone = time.Now(), c.req.Arrival.At()
	if c.observer != nil {
		c.observer.Request(&c.req, resp)
	}
}

// await waits for a request's first byte.
func (c *serving) await() bool {
	if c.in.buffered() > 0 {
		return true
	}
	if c.cfg.MaxDuration > 0 && time.Since(c.facts.Start) > c.cfg.Squeezes.Age.Of(c.cfg.MaxDuration) {
		return false
	}
	var now time.Time
	if c.cfg.IdleTimeout > 0 || c.rest != nil {
		now = time.Now()
		// Setting a deadline costs more than looking at the clock: it is moved
		// only when an eighth of it has passed, or when it has become shorter.
		if d, _ := c.patience(now); d > 0 {
			if left := c.deadline.Sub(now); left < d-d/8 || left > d {
				c.setReadDeadline(now.Add(d))
			}
		}
	}
	if c.served == 0 {
		return c.awaitByte(now) == nil
	}
	// A client that was not told of the end may be about to send: while its
	// listener drains it is told with its next answer. Only a connection that is
	// ended by itself does not wait for one.
	if !c.facts.Parking.Park() {
		return false
	}
	err := c.awaitByte(now)
	return c.facts.Parking.Leave() && err == nil
}

func (c *serving) setReadDeadline(t time.Time) {
	c.deadline = t
	_ = c.conn.SetReadDeadline(t) // an error shows at the next read
}

// wholeHead reports whether a head is buffered completely.
func (c *serving) wholeHead() bool {
	return strings.Contains(view(c.in.buf[c.in.r:c.in.w]), "\r\n\r\n")
}

func (c *serving) resetRequest(headBytes int) {
	c.req.Method, c.req.Scheme, c.req.Authority, c.req.Path, c.req.ALPN = "", "", "", "", nil
	c.req.Body, c.req.Length, c.req.Upgrade = nil, 0, ""
	c.req.Conn, c.req.Info = c.facts, &c.info
	c.req.Waiting.Reset()
	c.req.Arrival.Reset()
	c.info.HeadReceived, c.info.Limit, c.info.Idle = int64(headBytes), c.req.Limit, c.req.Idle
	c.body.read, c.body.around = 0, 0
	c.before = c.out.sent
}

// headFailed ends a connection whose head did not arrive, with a reply where
// one makes sense.
func (c *serving) headFailed(err error) bool {
	switch {
	case errors.Is(err, errHeadTooLarge):
		return c.refuseSyntax(&syntaxError{431, "http1.headers_too_large", "request head is too large"})
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.refuseSyntax(&syntaxError{408, "request_header_timeout", "request head took too long"})
	}
	return false
}

// refuseSyntax answers what could not be read as a request. Nothing behind it
// can be trusted to begin where it seems to.
func (c *serving) refuseSyntax(err error) bool {
	c.resetRequest(0)
	var s *syntaxError
	if !errors.As(err, &s) {
		s = &syntaxError{400, "http1.codec_error", err.Error()}
	}
	c.req.Header.Reset()
	r := &stream.Refusal{Status: s.status, Details: s.details, Flags: stream.DownstreamProtocol, Body: s.text}
	if c.cfg.Rewrite != nil {
		r = c.cfg.Rewrite(&c.req, r)
	}
	resp := stream.Reply(&c.req, r, &c.local)
	c.unread = true
	return c.answer(resp, framing{close: true})
}

// frame prepares the request's body.
func (c *serving) frame(f framing) {
	switch {
	case c.req.Method == stream.Connect:
		c.req.Upgrade = stream.Connect
	case f.chunked, f.length > 0: // where content ends and the other protocol begins would be a guess
	case !stream.EqualName(f.upgrade, "h2c"): // an invitation that nobody has to take up (RFC 9113 section 3.1)
		c.req.Upgrade = f.upgrade
	}
	if !f.chunked && f.length == 0 {
		if !c.cfg.Proxy100Continue && stream.EqualName(c.req.Header.Get("expect"), "100-continue") {
			c.req.Header.Del("expect")
		}
		c.req.Arrival.Note(c.info.Start)
		return
	}
	c.body.start(&c.in, f, c.cfg.Limits)
	c.req.Body, c.req.Length = &c.body, f.length
	if c.body.arrival = &c.req.Arrival; inMemory(&c.req) {
		c.req.Arrival.Note(c.info.Start)
	}
	if stream.EqualName(c.req.Header.Get("expect"), "100-continue") {
		c.req.Header.Del("expect")
		if len(c.body.Buffered()) == 0 {
			c.body.onFirstRead = c.sendContinue
		}
	}
	// The time for a next request to come does not bound this one's body.
	if !c.deadline.IsZero() && !inMemory(&c.req) {
		c.setReadDeadline(time.Time{})
	}
}

func (c *serving) sendContinue() error {
	n, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n")
	c.info.DownstreamBytes.Sent += int64(n)
	return err
}

// sendInterim sends an early hint (RFC 8297). Clients of HTTP/1.0 know no interim
// responses, and Envoy passes on no others.
func (c *serving) sendInterim(status int, h *stream.Header) error {
	if status != 103 || c.req.Protocol == stream.HTTP10 {
		return nil
	}
	w := &c.out
	w.buf = w.buf[:0]
	w.text(statusLine(status))
	w.fields(h)
	w.text("\r\n")
	return w.flush()
}

// answer writes resp and ends the request. It reports whether the connection
// goes on.
func (c *serving) answer(resp *stream.Response, f framing) bool {
	closing, err := c.deliver(resp, f.close || c.last())
	if err != nil {
		closing = true
		c.info.CutOff(c.req.Waiting.Abandoned(), err)
	}
	sending := c.req.Upload.Sending()
	if sending {
		_ = c.conn.SetReadDeadline(time.Now().Add(settleTime))
	}
	if resp.Done != nil {
		resp.Done.Settle()
	}
	if sending {
		c.req.Upload.Wait()
		c.setReadDeadline(time.Time{})
	}
	c.watch.end()
	if c.req.Body != nil && !c.bodyDone() {
		closing, c.unread = true, err == nil
	}
	c.info.DownstreamBytes.Sent += c.out.sent - c.before
	c.info.DownstreamBytes.Received += c.body.wire()
	c.note(resp)
	if resp.Done != nil {
		resp.Done.Release(err == nil)
	}
	c.served++
	return !closing
}

// last reports whether the connection is to end with this request.
func (c *serving) last() bool {
	return c.draining() || c.cfg.MaxRequests > 0 && c.served+1 >= c.cfg.MaxRequests || c.cfg.Last != nil && c.cfg.Last()
}

// deliver writes resp and reports whether the connection ends with it.
func (c *serving) deliver(resp *stream.Response, closing bool) (bool, error) {
	c.info.Status = resp.Status
	switch why := c.req.Waiting.Abandoned(); {
	case resp.Status == 0 || why.Gone():
		c.info.Status = 0 // nobody is there
		return true, nil
	case why != 0:
		if err := c.conn.SetWriteDeadline(time.Now().Add(settleTime)); err != nil {
			return true, err
		}
		closing = true
	}
	if resp.Upgraded != nil {
		return true, c.upgrade(resp)
	}
	closing = c.closing(closing || c.req.Protocol == stream.HTTP10 && resp.Length == stream.Unknown)
	return closing, c.write(resp, closing)
}

// closing decides whether the response announces the end of the connection. A
// body that nobody has read must not be taken for the next request. What has arrived
// of it is read away; for the rest, which may never come, nobody waits.
func (c *serving) closing(closing bool) bool {
	if closing || c.req.Body == nil || c.req.Upload.Sending() {
		return closing
	}
	return c.body.broken || !c.bodyDone()
}

// bodyDone reads away the rest of a request's body, as far as it has arrived, and
// reports whether that is all.
func (c *serving) bodyDone() bool {
	for !c.body.Complete() {
		p := c.body.Buffered()
		if len(p) == 0 {
			return false
		}
		c.body.Discard(len(p))
	}
	return true
}

func (c *serving) draining() bool {
	select {
	case <-c.drain:
		return true
	default:
		return false
	}
}

// write sends the response.
func (c *serving) write(resp *stream.Response, closing bool) error {
	w := &c.out
	w.buf = w.buf[:0]
	w.text(statusLine(resp.Status))
	if c.req.Protocol == stream.HTTP10 && c.cfg.AcceptHTTP10 { // as Envoy answers
		w.buf[len("HTTP/1.")] = '0'
	}
	from, lines := len(w.buf), resp.Header.Len()
	w.fields(&resp.Header)
	head := c.req.Method == "HEAD"
	bodyless := head || resp.Status == 204 || resp.Status == 304
	chunked := false
	unlisted := 0 // bytes of what Envoy takes for framing, not for a field
	switch {
	case resp.Status == 204 || resp.Status < 200:
	case resp.Length != stream.Unknown:
		if !(resp.Status == 304 && resp.Length == 0) {
			if at := len(w.buf); resp.Length == 0 && c.info.UpstreamRecv.IsZero() {
				w.length(0)
				unlisted = len(w.buf) - at
			} else {
				w.length(resp.Length)
				lines++
			}
		}
	case bodyless:
	case c.req.Protocol == stream.HTTP10: // until close
	default:
		chunked = true
		w.text("transfer-encoding: chunked\r\n")
		unlisted = len("transfer-encoding: chunked\r\n")
	}
	if closing {
		w.text("connection: close\r\n")
		lines++
	} else if c.req.Protocol == stream.HTTP10 {
		w.text("connection: keep-alive\r\n")
		lines++
	}
	c.countHead(len(w.buf)-from, lines)
	c.info.ReplyHead -= int64(unlisted)
	w.text("\r\n")
	c.info.HeadSent = int64(len(w.buf))
	if bodyless || resp.Body == nil {
		return w.flush()
	}
	n, err := w.body(resp.Body, chunked)
	c.info.BytesSent = n
	return err
}

// countHead notes how long the fields of the response's head are, in so many lines.
func (c *serving) countHead(size, lines int) {
	c.info.DownstreamBytes.HeadSent1(int64(size))
	c.info.ReplyHead = int64(len(":status") + len("200") + size - lines*len(": \r\n"))
}

// upgrade answers an upgrade or a CONNECT and then carries bytes both ways until both sides have
// ended.
func (c *serving) upgrade(resp *stream.Response) error {
	w := &c.out
	w.buf = w.buf[:0]
	w.text(statusLine(resp.Status))
	from, lines := len(w.buf), resp.Header.Len()
	w.fields(&resp.Header)
	if resp.Upgrade != stream.Connect {
		w.field("connection", "Upgrade")
		w.field("upgrade", resp.Upgrade)
		lines += 2
	}
	c.countHead(len(w.buf)-from, lines)
	w.text("\r\n")
	c.info.HeadSent = int64(len(w.buf))
	if err := w.flush(); err != nil {
		return err
	}
	c.setReadDeadline(time.Time{})
	up, down := resp.Upgraded, moving{c.conn, &c.watch.moves}
	c.watch.tunnel(func() {
		c.conn.Close()
		up.Close()
	})
	var upward sync.WaitGroup
	upward.Go(func() {
		// What came behind the request's head is the first of the new protocol.
		n, err := io.Copy(up, io.MultiReader(strings.NewReader(strings.Clone(view(c.in.buf[c.in.r:c.in.w]))), down))
		c.info.BytesReceived += n
		c.info.DownstreamBytes.Received += n
		endWrite(up, err)
	})
	n, err := io.Copy(down, up)
	c.info.BytesSent += n
	c.info.DownstreamBytes.Sent += n
	endWrite(c.conn, err)
	upward.Wait()
	up.Close()
	if why := c.req.Waiting.Abandoned(); why != 0 {
		c.info.CutOff(why, nil)
	}
	return nil
}

// endWrite tells the other side that no more comes.
func endWrite(conn io.Closer, err error) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	conn.Close()
}
