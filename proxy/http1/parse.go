// Package http1 is our HTTP/1.1 codec, server and client side (RFC 9112). It
// turns a connection's bytes into a [stream.Request] and back, in place and
// without allocating in the steady state.
//
// It is strict where leniency lets requests be smuggled: what two parsers could
// read in two ways is refused, never repaired.
package http1

import (
	"bytes"
	"net"
	"strings"
	"unsafe"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A syntaxError says what is wrong with a message; the reply is status 400
// unless status says otherwise.
type syntaxError struct {
	status  int
	details string // Envoy's response code detail
	text    string
}

func (e *syntaxError) Error() string { return e.text }

// Syntax marks the error for [stream.IsSyntax].
func (e *syntaxError) Syntax() {}

func bad(text string) error {
	return &syntaxError{400, "http1.codec_error", text}
}

// framing is how a message's body ends.
type framing struct {
	chunked bool
	length  int64 // of the body, stream.Unknown when chunked or (responses) until close
	close   bool  // the connection ends with this message
	upgrade string
	// explicit is true when the length was given by Content-Length.
	explicit  bool
	keepAlive bool // HTTP/1.0 asked to keep the connection
	// size of the fields, as a [stream.Meter] counts those that have come.
	size int64
}

// view is b as a string without copying.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// cutLine splits a head at its first CRLF.
func cutLine(head []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(head, '\n')
	if i < 1 || head[i-1] != '\r' {
		return nil, nil, bad("a line does not end with CR LF")
	}
	line = head[:i-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, nil, bad("a bare CR in a line")
	}
	return line, head[i+1:], nil
}

// requestHead parses a request's head into req.
func requestHead(head []byte, req *stream.Request, limits Limits) (framing, error) {
	line, rest, err := cutLine(head)
	if err != nil {
		return framing{}, err
	}
	if err := requestLine(line, req); err != nil {
		return framing{}, err
	}
	req.Header.Reset()
	f, err := fields(rest, &req.Header, req.Protocol, limits)
	if err != nil {
		return f, err
	}
	if err := takeHost(req); err != nil {
		return f, err
	}
	if !f.chunked && !f.explicit {
		f.length = 0
	}
	return f, nil
}

func requestLine(line []byte, req *stream.Request) error {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	target, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || len(method) == 0 || len(target) == 0 {
		return bad("malformed request line")
	}
	switch string(version) {
	case "HTTP/1.1":
		req.Protocol = stream.HTTP11
	case "HTTP/1.0":
		req.Protocol = stream.HTTP10
	default:
		return bad("unknown protocol version")
	}
	if !stream.ValidToken(view(method)) {
		return bad("invalid method")
	}
	if !stream.ValidTarget(view(target)) {
		return bad("invalid byte in the request target")
	}
	req.Method = view(method)
	return requestTarget(view(target), req)
}

// requestTarget reads the four forms of RFC 9112 section 3.2.
func requestTarget(target string, req *stream.Request) error {
	req.Scheme, req.Authority = "", ""
	switch {
	case req.Method == stream.Connect:
		if _, port, err := net.SplitHostPort(target); err != nil || port == "" || !stream.ValidHost(target) {
			return bad("CONNECT names no host and port")
		}
		req.Authority, req.Path = target, ""
	case target[0] == '/', target == "*" && req.Method == "OPTIONS":
		req.Path = target
	default:
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || !stream.EqualName(scheme, "http") && !stream.EqualName(scheme, "https") {
			return bad("invalid request target")
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		req.Authority, req.Path = rest[:end], rest[end:]
		if req.Authority == "" || !stream.ValidHost(req.Authority) {
			return bad("invalid authority in the request target")
		}
		if req.Path == "" {
			req.Path = "/"
		} else if req.Path[0] == '?' {
			req.Path = "/" + req.Path
		}
	}
	return nil
}

// takeHost moves the Host field to the request's authority. RFC 9112 section
// 3.2: a server answers 400 to a request that lacks Host or has several; an
// absolute target replaces Host.
func takeHost(req *stream.Request) error {
	host, hosts := "", 0
	for i := range req.Header.Len() {
		if f := req.Header.At(i); stream.EqualName(f.Name, "host") {
			host, hosts = f.Value, hosts+1
		}
	}
	if hosts > 1 || hosts == 0 && req.Protocol == stream.HTTP11 {
		return bad("a request has exactly one Host")
	}
	if !stream.ValidHost(host) {
		return bad("invalid Host")
	}
	if req.Authority == "" {
		req.Authority = host
	}
	req.Header.Del("host")
	return nil
}

// statusHead parses a response's head into resp.
func statusHead(head []byte, resp *stream.Response, limits Limits) (framing, error) {
	line, rest, err := cutLine(head)
	if err != nil {
		return framing{}, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return framing{}, bad("malformed status line")
	}
	resp.Status = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return framing{}, bad("malformed status code")
		}
		resp.Status = resp.Status*10 + int(c-'0')
	}
	if resp.Status < 100 {
		return framing{}, bad("status code below 100")
	}
	protocol := stream.HTTP11
	if line[7] == '0' {
		protocol = stream.HTTP10
	}
	resp.Header.Reset()
	return fields(rest, &resp.Header, protocol, limits)
}

// fields parses the fields up to the empty line into h, and leaves out those
// that belong to the connection.
func fields(head []byte, h *stream.Header, protocol stream.Protocol, limits Limits) (framing, error) {
	f := framing{length: stream.Unknown, close: protocol == stream.HTTP10}
	c := connectionFields{most: limits.MaxHeaders}
	for {
		line, rest, err := cutLine(head)
		if err != nil {
			return f, err
		}
		head = rest
		if len(line) == 0 {
			break
		}
		name, value, err := field(line)
		if err != nil {
			return f, err
		}
		f.size += int64(len(name) + len(value) + len(":\r\n"))
		if h.Len() >= limits.MaxHeaders {
			return f, &syntaxError{431, "http1.too_many_headers", "too many header fields"}
		}
		if taken, err := c.take(name, value, &f); err != nil {
			return f, err
		} else if !taken {
			h.Add(name, value)
		}
	}
	return f, c.apply(h, protocol, &f)
}

// field splits one field line. RFC 9112 section 5.1: no whitespace is allowed
// between name and colon; a line that begins with whitespace (obs-fold) is
// refused because its first byte is no token.
func field(line []byte) (name, value string, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return "", "", bad("a header field without a name or a colon")
	}
	if !stream.ValidToken(view(line[:colon])) {
		return "", "", bad("invalid byte in a header name")
	}
	v := line[colon+1:]
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", "", bad("invalid byte in a header value")
		}
	}
	return view(line[:colon]), view(v), nil
}

// connectionFields are the fields that say how this one connection is used.
type connectionFields struct {
	encodings, lengths int
	nominated          []string // fields that Connection names as hop-by-hop
	most               int      // that it may name
	asksUpgrade        bool
	upgrade            string
}

// take reads a connection-level field and reports whether name is one.
func (c *connectionFields) take(name, value string, f *framing) (bool, error) {
	switch len(name) {
	case 7:
		if stream.EqualName(name, "upgrade") {
			c.upgrade = value
			return true, nil
		}
	case 10:
		if stream.EqualName(name, "connection") {
			c.connection(value, f)
			return true, nil
		}
		return stream.EqualName(name, "keep-alive"), nil
	case 14:
		if stream.EqualName(name, "content-length") {
			c.lengths++
			n, ok := stream.ContentLength(value)
			if !ok {
				return true, bad("invalid Content-Length")
			}
			f.length, f.explicit = n, true
			return true, nil
		}
	case 16:
		return stream.EqualName(name, "proxy-connection"), nil
	case 17:
		if stream.EqualName(name, "transfer-encoding") {
			c.encodings++
			if !stream.EqualName(value, "chunked") {
				return true, &syntaxError{501, "http1.invalid_transfer_encoding", "a transfer encoding other than chunked"}
			}
			f.chunked = true
			return true, nil
		}
	}
	return false, nil
}

// connection reads the options of a Connection field.
func (c *connectionFields) connection(value string, f *framing) {
	for value != "" {
		var option string
		option, value, _ = strings.Cut(value, ",")
		option = strings.Trim(option, " \t")
		switch {
		case stream.EqualName(option, "close"):
			f.close = true
		case stream.EqualName(option, "keep-alive"):
			f.keepAlive = true
		case stream.EqualName(option, "upgrade"):
			c.asksUpgrade = true
		case option != "" && len(c.nominated) <= c.most:
			c.nominated = append(c.nominated, option)
		}
	}
}

// apply draws the conclusions once all fields have been read.
func (c *connectionFields) apply(h *stream.Header, protocol stream.Protocol, f *framing) error {
	switch {
	case c.lengths > 1:
		return bad("several Content-Length fields")
	case c.encodings > 1:
		return bad("several Transfer-Encoding fields")
	case c.encodings > 0 && c.lengths > 0:
		// RFC 9112 section 6.1: such a message might be an attempt at smuggling.
		return bad("both Content-Length and Transfer-Encoding")
	case c.encodings > 0 && protocol == stream.HTTP10:
		return bad("Transfer-Encoding in HTTP/1.0")
	case len(c.nominated) > c.most: // each is looked for among the fields
		return &syntaxError{431, "http1.too_many_headers", "Connection names too many fields"}
	}
	if f.chunked {
		f.length = stream.Unknown
	}
	for _, name := range c.nominated {
		h.Del(name)
	}
	if protocol == stream.HTTP10 && f.keepAlive {
		f.close = false
	}
	if c.asksUpgrade && protocol == stream.HTTP11 {
		f.upgrade = c.upgrade
	}
	return nil
}
