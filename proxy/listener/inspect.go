package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// sniffed is what a connection's first bytes say.
type sniffed struct {
	transport  string // "tls" or "raw_buffer"
	serverName string
	alpn       []string // offered in TLS, or "http/1.1", "http/1.0", "h2c" in plain text
	hello      []byte   // the ClientHello's body
}

// maxHello bounds a ClientHello: post-quantum key shares make it larger than one
// segment, and nothing legitimate makes it larger than this.
const maxHello = 64 << 10

// replayed is a connection whose first bytes have been looked at.
type replayed struct {
	net.Conn
	seen []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.seen) > 0 {
		n := copy(p, r.seen)
		if r.seen = r.seen[n:]; len(r.seen) == 0 {
			r.seen = nil
		}
		return n, nil
	}
	return r.Conn.Read(p)
}

// NetConn is the connection beneath, of which nothing more may be read.
func (r *replayed) NetConn() net.Conn { return r.Conn }

// Beneath is the connection beneath once all that was looked at has been read
// again; nil before.
func (r *replayed) Beneath() net.Conn {
	if len(r.seen) > 0 {
		return nil
	}
	if inner, ok := r.Conn.(*replayed); ok {
		return inner.Beneath()
	}
	return r.Conn
}

// CloseWrite ends our direction.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return r.Conn.Close()
}

// inspect looks at the first bytes until they say enough. The connection that it
// returns gives them again.
func inspect(conn net.Conn, wantTLS, wantHTTP bool, timeout time.Duration, goOn bool) (net.Conn, sniffed, error) {
	if timeout > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return conn, sniffed{}, err
		}
	}
	buf := make([]byte, 0, 1024)
	var seen sniffed
	var err error
	for first := (&records{}); ; {
		var enough bool
		if seen, enough = first.look(buf, wantTLS, wantHTTP); enough || len(buf) >= maxHello {
			break
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		var n int
		n, err = conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			break
		}
	}
	r := &replayed{conn, buf}
	if timeout > 0 {
		if e := conn.SetReadDeadline(time.Time{}); e != nil {
			return r, seen, e
		}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && goOn:
		return r, seen, nil
	case errors.Is(err, io.EOF) && len(buf) > 0:
		return r, seen, nil // it has said all that it will
	}
	return r, seen, err
}

// records are a connection's first bytes as those of TLS. Each record is read once, in
// however many pieces they come.
type records struct {
	at      int    // where the first record lies that has not been read
	message []byte // what the others carry
}

// look reads what it can from the first bytes, which have grown since the last look,
// and reports whether more of them would not tell more.
func (r *records) look(p []byte, wantTLS, wantHTTP bool) (sniffed, bool) {
	seen := sniffed{transport: "raw_buffer"}
	if len(p) == 0 {
		return seen, false
	}
	if wantTLS && p[0] == recordHandshake {
		hello, complete, ok := r.clientHello(p)
		if ok && complete {
			return hello, true
		}
		if ok {
			return seen, false
		}
	}
	if !wantHTTP {
		return seen, true
	}
	alpn, enough := plainHTTP(p)
	if alpn != "" {
		seen.alpn = []string{alpn}
	}
	return seen, enough
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// plainHTTP recognises HTTP by its preface or its request line.
func plainHTTP(p []byte) (alpn string, enough bool) {
	if n := min(len(p), len(preface)); string(p[:n]) == preface[:n] {
		if n == len(preface) {
			return "h2c", true
		}
		if n >= 5 { // no method is "PRI *"
			return "", false
		}
	}
	line, _, whole := bytes.Cut(p, []byte("\r\n"))
	method, _, hasTarget := bytes.Cut(line, []byte{' '})
	for i, c := range method {
		if c < 'A' || c > 'Z' || i > 20 {
			return "", true
		}
	}
	if !whole {
		return "", len(line) > 16<<10 || hasTarget && len(method) == 0
	}
	switch {
	case bytes.HasSuffix(line, []byte(" HTTP/1.1")):
		return "http/1.1", true
	case bytes.HasSuffix(line, []byte(" HTTP/1.0")):
		return "http/1.0", true
	}
	return "", true
}

const (
	recordHandshake    = 22
	messageClientHello = 1
	extensionSNI       = 0
	extensionALPN      = 16
)

// clientHello reads server name and protocols out of a ClientHello that may
// span several records (RFC 8446 section 4.1.2). ok is false when p is not the
// beginning of one.
func (r *records) clientHello(p []byte) (seen sniffed, complete, ok bool) {
	for {
		rest := p[r.at:]
		if len(rest) < 5 {
			return seen, false, true
		}
		n := int(binary.BigEndian.Uint16(rest[3:]))
		if rest[0] != recordHandshake || rest[1] != 3 || n == 0 || n > 1<<14+256 {
			return seen, false, false
		}
		if len(r.message) == 0 && len(rest) > 5 && rest[5] != messageClientHello {
			return seen, false, false
		}
		if len(rest) < 5+n {
			return seen, false, true
		}
		r.message = append(r.message, rest[5:5+n]...)
		r.at += 5 + n
		if m := r.message; len(m) >= 4 {
			if want := 4 + int(m[1])<<16 + int(m[2])<<8 + int(m[3]); len(m) >= want {
				seen, ok := helloBody(m[4:want])
				return seen, true, ok
			}
		}
	}
}

// cursor reads length-prefixed fields and remembers if one did not fit.
type cursor struct {
	p   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.p) {
		c.bad, n = true, len(c.p)
	}
	p := c.p[:n]
	c.p = c.p[n:]
	return p
}

func (c *cursor) vector(prefix int) cursor {
	n := 0
	for _, b := range c.take(prefix) {
		n = n<<8 | int(b)
	}
	return cursor{p: c.take(n)}
}

func helloBody(p []byte) (sniffed, bool) {
	seen := sniffed{transport: "tls", hello: p}
	c := cursor{p: p}
	c.take(2 + 32) // version, random
	c.vector(1)    // session id
	c.vector(2)    // cipher suites
	c.vector(1)    // compression methods
	if c.bad {
		return seen, false
	}
	extensions := c.vector(2)
	for len(extensions.p) > 0 && !extensions.bad {
		kind := extensions.take(2)
		if extensions.bad {
			break
		}
		data := extensions.vector(2)
		switch binary.BigEndian.Uint16(kind) {
		case extensionSNI:
			names := data.vector(2)
			if t := names.take(1); len(t) == 1 && t[0] == 0 {
				seen.serverName = serverName(names.vector(2).p)
			}
		case extensionALPN:
			protocols := data.vector(2)
			for len(protocols.p) > 0 && !protocols.bad {
				seen.alpn = append(seen.alpn, string(protocols.vector(1).p))
			}
		}
	}
	return seen, true
}

// serverName is the name in lower case, none when it is not printable ASCII (RFC
// 6066 section 3): nothing is chosen by such a name, nor does it reach a log.
func serverName(p []byte) string {
	for _, c := range p {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return strings.ToLower(string(p))
}
