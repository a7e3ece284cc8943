// Package stream is the vocabulary of the request path: requests, responses,
// bodies, handlers and filters. Every stage between accept and reply speaks it.
//
// Requests, responses and their headers belong to the connection that made
// them. Their strings may point into its buffer: they are valid until the
// request has been answered, and whoever keeps one longer clones it.
package stream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers a request. An error becomes the reply that [Refusal] says, or
// 500 for any other error.
type Handler interface {
	Handle(*Request) (*Response, error)
}

// Filter stands in front of a handler: it answers, or calls next.
type Filter interface {
	Handle(req *Request, next Handler) (*Response, error)
}

// chain is a filter and what stands behind it, as one handler.
type chain struct {
	filter Filter
	next   Handler
}

// Handle implements [Handler].
func (c *chain) Handle(req *Request) (*Response, error) { return c.filter.Handle(req, c.next) }

// Chain puts filters in front of last, the first one outermost.
func Chain(last Handler, filters ...Filter) Handler {
	for i := len(filters) - 1; i >= 0; i-- {
		last = &chain{filters[i], last}
	}
	return last
}

// Protocol is the HTTP version of a message.
type Protocol uint8

// The versions that are spoken.
const (
	HTTP11 Protocol = iota
	HTTP10
	HTTP2
)

// String is the version as access logs write it.
func (p Protocol) String() string {
	switch p {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP2:
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

// Connect is the method that asks for a tunnel, and the protocol in it.
const Connect = "CONNECT"

// Unknown is a body's length when its framing does not tell it ahead.
const Unknown = -1

// Request is one HTTP request on its way upstream.
type Request struct {
	Method    string
	Scheme    string // "http" or "https"
	Authority string // as the client wrote it, with its port
	// Port is what was taken off the authority, with its colon: the upstreams of a
	// CONNECT are told it again.
	Port     string
	Path     string // with the query
	Protocol Protocol
	Header   Header // without Host and without connection-level fields
	// Body is nil when there is none.
	Body Body
	// Length of the body in bytes, or Unknown.
	Length int64
	// Upgrade is the protocol that the client asks to change to ("websocket"),
	// [Connect] for a CONNECT, or empty.
	Upgrade string
	// Scratch is memory of the connection for field values that are made on the
	// way: they live as long as the request. Whoever is first to use it empties
	// it.
	Scratch []byte
	// ALPN is what the upstream handshake offers instead of the cluster's own
	// list; nil leaves that.
	ALPN *ALPN
	// Conn is the connection it came on.
	Conn *Conn
	// Info is what is noted about it for logs and metrics.
	Info *Info
	// Limit is how long a request may take altogether, as its listener says; 0 is
	// without end. Bound changes it for this one; nil where nobody holds it.
	Limit time.Duration
	Bound func(time.Duration)
	// Idle is how long nothing may move on it, as its listener says; 0 is without end.
	// BoundIdle changes it for this one; nil where nobody holds it.
	Idle      time.Duration
	BoundIdle func(time.Duration)
	// Upload is the sending of the body beside the reading of the answer.
	Upload Upload
	// Arrival is when it came whole.
	Arrival Arrival
	// Waiting is what it waits for.
	Waiting Waiting
	// Interim sends an interim response (1xx) downstream before the final one;
	// nil where the client's protocol has none. The codec sets it.
	Interim func(status int, h *Header) error
}

// ALPN are the lists that an upstream handshake offers, by the version of HTTP
// that is going to be spoken; nil leaves the cluster's own.
type ALPN struct{ HTTP1, HTTP2 []string }

// Upload is a body's way upstream in a goroutine of its own: only needed while
// the body is still arriving.
type Upload struct {
	// Interrupt makes a read from the client that is waiting return with an
	// error. Whoever owns the connection sets it.
	Interrupt func()

	going   sync.WaitGroup
	sending atomic.Bool
	ended   atomic.Int64 // in Unix nanoseconds
}

// Go sends in a goroutine of its own.
func (u *Upload) Go(send func()) {
	u.sending.Store(true)
	u.going.Go(func() {
		defer func() {
			u.ended.Store(time.Now().UnixNano())
			u.sending.Store(false)
		}()
		send()
	})
}

// Sending reports whether the body is still being sent.
func (u *Upload) Sending() bool { return u.sending.Load() }

// Since is how long ago the body had been sent: 0 while it is being sent. What
// needed no goroutine was sent long ago.
func (u *Upload) Since() time.Duration {
	if u.Sending() {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - u.ended.Load())
}

// Wait returns when the body has been sent, or has failed to be.
func (u *Upload) Wait() { u.going.Wait() }

// Within waits until the body has been sent, at most d, and reports whether it
// has.
func (u *Upload) Within(d time.Duration) bool {
	if !u.Sending() {
		return true
	}
	done := make(chan struct{})
	go func() { // ends with the upload, which the request's end waits for
		u.going.Wait()
		close(done)
	}()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		return false
	}
}

// Stop ends an upload that nobody wants any more. The body cannot be read any
// further then, nor can the connection that it comes from be used for another
// request. It reports whether there was anything to end.
func (u *Upload) Stop() (broken bool) {
	if broken = u.sending.Load() && u.Interrupt != nil; broken {
		u.Interrupt()
	}
	u.going.Wait()
	return broken
}

// PathOnly is the path without its query.
func (r *Request) PathOnly() string {
	for i := 0; i < len(r.Path); i++ {
		if r.Path[i] == '?' {
			return r.Path[:i]
		}
	}
	return r.Path
}

// Param is the first query parameter of a name, as it is written; found is false
// when there is none.
func (r *Request) Param(name string) (value string, found bool) {
	_, query, _ := strings.Cut(r.Path, "?")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// State is a string that filters have left by name about the request's connection
// or, where there is none, about the request.
func (r *Request) State(name string) (value string, found bool) {
	if r.Conn != nil {
		if value, found = r.Conn.State[name]; found {
			return value, true
		}
	}
	value, found = r.Info.State[name]
	return value, found
}

// Shared is what an upstream connection that is opened for the request keeps of what
// filters have left; nil for nothing.
func (r *Request) Shared() map[string]string {
	if r.Conn == nil || len(r.Conn.Shared) == 0 {
		return maps.Clone(r.Info.Shared)
	}
	all := maps.Clone(r.Conn.Shared)
	maps.Copy(all, r.Info.Shared)
	return all
}

// Response is one HTTP response on its way downstream.
type Response struct {
	Status int
	Header Header
	// Body is nil when there is none.
	Body Body
	// Length of the body in bytes, or Unknown.
	Length int64
	// Upgraded is set with status 101, or 2xx for a CONNECT: the upstream's bytes from
	// there on, in the protocol that Upgrade names.
	Upgraded io.ReadWriteCloser
	Upgrade  string
	// Done releases what the response holds, such as the upstream connection.
	// ok says that its body was read to the end. It is called exactly once and
	// may be nil.
	Done Releaser
}

// Releaser gets back what a response has held.
type Releaser interface {
	// Settle ends what is still under way for the request, such as its upload,
	// so that its record is complete. Nothing is given back yet.
	Settle()
	Release(ok bool)
}

// Body is a message's content, pulled by whoever needs it: backpressure is the
// call stack.
type Body interface {
	// Read reads decoded content; io.EOF ends it.
	Read(p []byte) (int, error)
	// Wait returns when there is something Buffered or the body is Complete.
	Wait() error
	// Buffered is content that is already in memory and has not been read. It
	// is valid until the next call; Discard marks bytes of it as read.
	Buffered() []byte
	// Discard skips n bytes of Buffered.
	Discard(n int)
	// Complete reports whether all of the content has been read.
	Complete() bool
	// Trailers are the fields behind the content, once Complete; nil when there
	// are none.
	Trailers() *Header
}

// Framed is a body whose protocol tells more of its end than a length does: it may
// have no announced length and still be known to be complete, or have trailers
// behind content whose length was announced. Bodies that stand before another
// pass its knowledge on.
type Framed interface {
	Body
	// Last reports whether nothing comes behind what is Buffered, trailers
	// included; known is false for a body that has no such framing after all.
	Last() (last, known bool)
	// Announced is the length that the message's head told, or Unknown.
	Announced() (length int64, known bool)
}

// Wrapped is a body that stands before another one and passes on what that knows
// of its end.
type Wrapped struct{ Body }

// Last implements [Framed].
func (w Wrapped) Last() (last, known bool) {
	if f, ok := w.Body.(Framed); ok {
		return f.Last()
	}
	return false, false
}

// Announced implements [Framed].
func (w Wrapped) Announced() (length int64, known bool) {
	if f, ok := w.Body.(Framed); ok {
		return f.Announced()
	}
	return Unknown, false
}

// Last reports whether nothing comes behind what a body has Buffered, when rest of
// its length is left.
func Last(b Body, rest int64) bool {
	if last, known := (Wrapped{b}).Last(); known {
		return last
	}
	return int64(len(b.Buffered())) == rest
}

// Announced is the length that a message's head tells, or Unknown, of a body whose
// length is known to be so: not one that was only found out because all of the
// content was there.
func Announced(b Body, length int64) int64 {
	if announced, known := (Wrapped{b}).Announced(); known {
		return announced
	}
	return length
}

// Conn is what is known of a downstream connection. It is fixed before the
// first request.
type Conn struct {
	ID       uint64
	Local    netip.AddrPort // that it was accepted on
	Remote   netip.AddrPort // the peer, as the socket or a PROXY header says
	Original netip.AddrPort // where the peer wanted to go; Local if nothing was redirected
	// Socket has the socket's own ends where a PROXY header told of others; nil
	// otherwise.
	Socket *Ends
	// Path is the Unix socket that it was accepted on, which has no addresses: those
	// above are invalid unless a PROXY header told of some. Empty for TCP.
	Path string
	TLS  *TLS // nil in plain text, and when TLS is passed on unread
	// SNI is the server name that a look at the first bytes found, when TLS is
	// not ended here.
	SNI string
	// Cluster is where a filter sends the connection's bytes; empty leaves that to who
	// carries them.
	Cluster string
	// JA3 and JA4 are fingerprints of a TLS client, where its listener takes them.
	JA3, JA4 string
	Start    time.Time
	// Listener is the name of the listener, Chain that of its filter chain.
	Listener, Chain string
	// Described is what the listener says of itself, ChainDescribed its filter chain;
	// nil is nothing.
	Described, ChainDescribed *Metadata
	// Parking tells a drain whether the connection waits for a request.
	Parking Parking
	// State is what the connection's filters left for the log by name, as Info's is of
	// a request; nil is none. What is an object stands there as JSON, and in Fields
	// with its fields.
	State  map[string]string
	Fields map[string]map[string]string
	// Metadata is what they left about the connection, as Info's is of a request.
	// Requests do not inherit it.
	Metadata Metadata
	// TLVs are the values of a PROXY header that endpoints are to be told of, as they
	// stood in it.
	TLVs string
	// waker has the connection look at its timeouts anew.
	waker atomic.Pointer[func()]
	// Shared is what of State is for upstream connections.
	Shared map[string]string
	// Told is who the peer's proxy said that it stands for, before the connection's
	// first bytes: nil before those, and when it did not say. It is nil itself where
	// that is not asked.
	Told func() *Peer
}

// Ends are the two ends of a socket.
type Ends struct{ Local, Remote netip.AddrPort }

// Direct are the socket's own ends, whatever a PROXY header said.
func (c *Conn) Direct() Ends {
	if c.Socket != nil {
		return *c.Socket
	}
	return Ends{c.Local, c.Remote}
}

// Name is how one of the connection's ends is called: by its address, or by the path
// of the Unix socket.
func (c *Conn) Name(end netip.AddrPort) string {
	if c.Path != "" && !end.IsValid() {
		return c.Path
	}
	return end.String()
}

// OnWake sets what [Conn.Wake] calls; nil is nothing. It must be quick, and fine when
// the connection has just ended.
func (c *Conn) OnWake(f func()) {
	if f == nil {
		c.waker.Store(nil)
		return
	}
	c.waker.Store(&f)
}

// Wake has who serves the connection look at its timeouts anew, which have changed.
func (c *Conn) Wake() {
	if f := c.waker.Load(); f != nil {
		(*f)()
	}
}

// Parking is the state of a connection that carries one request after the other.
type Parking struct{ state atomic.Int32 }

const (
	busy int32 = iota
	parked
	ended
	ending // it is busy, and must not wait for another request
)

// Park says that the connection waits for its next request. It reports false when
// it must not wait for one.
func (p *Parking) Park() bool { return p.state.CompareAndSwap(busy, parked) }

// Leave says that the next request has begun to arrive. It reports false when
// the connection has been ended meanwhile.
func (p *Parking) Leave() bool { return p.state.CompareAndSwap(parked, busy) }

// End takes a waiting connection out of use and reports whether it was waiting.
// One that is busy ends with its request.
func (p *Parking) End() bool {
	for {
		if p.state.CompareAndSwap(parked, ended) {
			return true
		}
		if p.state.CompareAndSwap(busy, ending) || p.state.Load() >= ended {
			return false
		}
	}
}

// Ended reports whether the connection has been ended while it waited.
func (p *Parking) Ended() bool { return p.state.Load() == ended }

// TLS is what a handshake told about the peer.
type TLS struct {
	SNI     string
	ALPN    string
	Version uint16 // crypto/tls's number
	Cipher  uint16
	// Peer is the certificate that the peer showed and that was verified; nil
	// when it showed none.
	Peer *x509.Certificate
	// Chain is all that the peer showed, its own certificate first.
	Chain []*x509.Certificate
	// URISANs and DNSSANs are the names in it.
	URISANs, DNSSANs []string
	// Subject of it, as RFC 2253 writes names.
	Subject string
	// Local is the certificate that we showed; LocalURI is the first URI in it.
	Local    *x509.Certificate
	LocalURI string
	Group    tls.CurveID // of the key exchange
	// PeerHash is the SHA-256 of the certificate that the peer showed, in hex.
	PeerHash string
}

// Mutual reports whether the peer proved who it is.
func (t *TLS) Mutual() bool { return t != nil && t.Peer != nil }

// Principal is the peer's SPIFFE ID, or empty.
func (t *TLS) Principal() string {
	if t == nil || len(t.URISANs) == 0 {
		return ""
	}
	return t.URISANs[0]
}
