package http2

import (
	"strings"

	"github.com/lateenmesh/lateen/proxy/http2/hpack"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// head is a decoded header section. The reader has one, decodes into it, and
// exchanges its memory with that of the stream which the section belongs to.
type head struct {
	method, scheme, path, authority, protocol string
	status                                    int
	length                                    int64 // stream.Unknown without Content-Length
	fields                                    stream.Header
	text                                      []byte // that strings point into
	size                                      int    // as it was on the wire
	wire                                      int    // with its frames

	host     string
	cookies  int
	regular  bool   // a field that is no pseudo-header has come
	seen     uint8  // pseudo-headers
	broken   string // what makes the message malformed; empty when nothing does
	tooLarge bool
	listed   int // bytes of the fields, as RFC 9113 section 6.5.2 counts them
	count    int // of all fields
}

// listedExtra is what each field counts more than its bytes.
const listedExtra = 32

// Bits of head.seen.
const (
	sawMethod = 1 << iota
	sawScheme
	sawPath
	sawAuthority
	sawProtocol
	sawStatus

	requestPseudo  = sawMethod | sawScheme | sawPath | sawAuthority | sawProtocol
	responsePseudo = sawStatus
)

func (h *head) reset() {
	fields, text := h.fields, h.text[:0]
	fields.Reset()
	*h = head{fields: fields, text: text, length: stream.Unknown}
}

// meter counts the section for the stream that it came on.
func (h *head) meter(m *stream.Meter) {
	m.Received += int64(h.wire)
	m.HeadReceived += int64(h.wire)
	m.PlainReceived += int64(h.listed - listedExtra*h.count)
}

func (h *head) malformed(why string) {
	if h.broken == "" {
		h.broken = why
	}
}

// decode reads a whole section. An error ends the connection; what is wrong with
// the message alone is left in h.
func (h *head) decode(d *hpack.Decoder, block []byte, cfg *Config) error {
	h.reset()
	h.size = len(block)
	kept := 0 // of the text, when the head is too large: what the fields so far hold
	for first := true; ; first = false {
		if !h.tooLarge {
			kept = len(h.text)
		}
		f, rest, text, ok, err := d.Next(block, h.text, first)
		if err != nil {
			return broken(CompressionError, err.Error())
		}
		if h.text = text; !ok {
			return nil
		}
		block = rest
		h.listed += len(f.Name) + len(f.Value) + listedExtra
		h.count++ // pseudo-fields, too, as Envoy counts
		if h.listed > cfg.MaxHead || h.count > cfg.MaxHeaders {
			// The rest is decoded only for the tables' sake.
			h.tooLarge = true
			h.text = h.text[:kept]
			continue
		}
		h.add(f)
	}
}

// add takes a field. Sections 8.2 and 8.3 say what makes a message malformed.
func (h *head) add(f hpack.Field) {
	switch {
	case !f.Valid:
		h.malformed("invalid byte in a field")
	case f.Name[0] == ':':
		h.pseudo(f.Name, f.Value)
	default:
		h.regular = true
		if h.kept(f.Name, f.Value) {
			h.fields.Add(f.Name, f.Value)
		}
	}
}

func (h *head) pseudo(name, value string) {
	var bit uint8
	switch name {
	case ":method":
		bit, h.method = sawMethod, value
	case ":scheme":
		bit, h.scheme = sawScheme, value
	case ":path":
		bit, h.path = sawPath, value
	case ":authority":
		bit, h.authority = sawAuthority, value
	case ":protocol":
		bit, h.protocol = sawProtocol, value
	case ":status":
		bit = sawStatus
		if h.status = 0; len(value) == 3 {
			if n, ok := stream.ContentLength(value); ok && n >= 100 {
				h.status = int(n)
			}
		}
	default:
		h.malformed("unknown pseudo-header " + name)
		return
	}
	if h.regular {
		h.malformed("a pseudo-header behind other fields")
	}
	if h.seen&bit != 0 {
		h.malformed("a pseudo-header comes twice")
	}
	h.seen |= bit
}

// kept reports whether a field is handed on; the others are read here.
func (h *head) kept(name, value string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		h.malformed("the connection-level field " + name)
		return false
	case "te":
		if value != "trailers" {
			h.malformed("te may only be trailers")
		}
	case "host":
		h.host = value
		return false
	case "cookie":
		h.cookies++
	case "content-length":
		n, ok := stream.ContentLength(value)
		if !ok || h.length != stream.Unknown && h.length != n {
			h.malformed("invalid content-length")
		}
		h.length = n
		return false
	}
	return true
}

// request checks the section as a request's.
func (h *head) request(cfg *Config) {
	if h.seen&^requestPseudo != 0 {
		h.malformed("a response's pseudo-header in a request")
	}
	if h.authority == "" {
		h.authority = h.host
	}
	connect := h.method == "CONNECT" && h.seen&sawProtocol == 0
	want := uint8(sawMethod | sawScheme | sawPath)
	switch {
	case connect:
		if want = sawMethod | sawAuthority; h.seen&(sawScheme|sawPath) != 0 {
			h.malformed("CONNECT with a scheme or a path")
		}
	case h.seen&sawProtocol != 0 && h.method != "CONNECT":
		h.malformed(":protocol without CONNECT")
	}
	if h.seen&want != want {
		h.malformed("a pseudo-header is missing")
		return
	}
	if !connect {
		switch {
		case h.path == "" || !stream.ValidTarget(h.path), h.path[0] != '/' && (h.path != "*" || h.method != "OPTIONS"):
			h.malformed("invalid :path")
		case h.scheme != "http" && h.scheme != "https":
			h.malformed("unknown :scheme")
		}
	}
	if !stream.ValidHost(h.authority) {
		h.malformed("invalid :authority")
	}
	if !stream.ValidToken(h.method) {
		h.malformed("invalid :method")
	}
	if h.cookies > 1 {
		h.joinCookies()
	}
}

// joinCookies makes one field of the crumbs that a cookie may come in (section
// 8.2.3), because others take it for one.
func (h *head) joinCookies() {
	var all strings.Builder
	for i := range h.fields.Len() {
		if f := h.fields.At(i); f.Name == "cookie" {
			if all.Len() > 0 {
				all.WriteString("; ")
			}
			all.WriteString(f.Value)
		}
	}
	h.fields.Set("cookie", all.String())
}

// response checks the section as a response's.
func (h *head) response() {
	if h.seen != responsePseudo {
		h.malformed("a response has exactly the pseudo-header :status")
	} else if h.status < 100 || h.status == 101 {
		h.malformed("invalid :status")
	}
}

// trailer checks the section as one behind the content.
func (h *head) trailer() {
	if h.seen != 0 {
		h.malformed("a pseudo-header in trailers")
	}
	if h.length != stream.Unknown || h.host != "" {
		h.malformed("content-length or host in trailers")
	}
	for i := 0; i < h.fields.Len(); i++ {
		if name := h.fields.At(i).Name; !stream.ValidTrailer(name) {
			h.malformed("a trailer that may not be one: " + name)
		}
	}
}
