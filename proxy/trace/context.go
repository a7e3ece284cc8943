// Package trace follows requests through the mesh: it gives each a span, tells
// the upstream of it, and reports it to a collector when it is over. It begins
// when the connection manager has put a request's head in order, and ends with
// the observers.
package trace

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Propagation is how the context of a trace is written in header fields.
type Propagation uint8

// The ways: Zipkin's fields, W3C's, or both.
const (
	B3 Propagation = iota
	W3C
	Both
)

// incoming is what a request says of the trace that it belongs to.
type incoming struct {
	trace   [16]byte
	span    [8]byte
	parent  [8]byte // the caller's own parent, where B3 tells it
	found   bool
	sampled bool
	decided bool // somebody has decided whether the trace is kept
}

// extract reads the context of a request, B3 first where it is spoken.
func (p Propagation) extract(h *stream.Header) incoming {
	var in incoming
	if p != W3C {
		in = fromB3(h)
	}
	if !in.found && p != B3 {
		if w3c := fromW3C(h); w3c.found {
			return w3c
		}
	}
	return in
}

func fromB3(h *stream.Header) incoming {
	if one := h.Get("b3"); one != "" {
		return fromSingle(one)
	}
	var in incoming
	switch flag := h.Get("x-b3-sampled"); flag {
	case "1", "true":
		in.sampled, in.decided = true, true
	case "0", "false":
		in.decided = true
	}
	if h.Get("x-b3-flags") == "1" {
		in.sampled, in.decided = true, true
	}
	in.found = traceID(h.Get("x-b3-traceid"), &in.trace) && spanID(h.Get("x-b3-spanid"), &in.span)
	spanID(h.Get("x-b3-parentspanid"), &in.parent)
	return in
}

// fromSingle reads "TRACE-SPAN-SAMPLED-PARENT", or a decision alone.
func fromSingle(text string) incoming {
	var in incoming
	parts := strings.Split(text, "-")
	flag := parts[0]
	if len(parts) > 1 {
		in.found = traceID(parts[0], &in.trace) && spanID(parts[1], &in.span)
		flag = ""
		if len(parts) > 2 {
			flag = parts[2]
		}
		if len(parts) > 3 {
			spanID(parts[3], &in.parent)
		}
	}
	switch flag {
	case "1", "d":
		in.sampled, in.decided = true, true
	case "0":
		in.decided = true
	}
	return in
}

// fromW3C reads traceparent (Trace Context section 3.2).
func fromW3C(h *stream.Header) incoming {
	var in incoming
	text := h.Get("traceparent")
	if len(text) < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "ff" {
		return in
	}
	var flags [1]byte
	if _, err := hex.Decode(flags[:], []byte(text[53:55])); err != nil {
		return in
	}
	in.found = traceID(text[3:35], &in.trace) && spanID(text[36:52], &in.span)
	in.decided, in.sampled = in.found, flags[0]&1 == 1
	return in
}

// traceID reads 16 or 32 digits; all zeros are none.
func traceID(text string, into *[16]byte) bool {
	switch len(text) {
	case 32:
		_, err := hex.Decode(into[:], []byte(text))
		return err == nil && *into != [16]byte{}
	case 16:
		_, err := hex.Decode(into[8:], []byte(text))
		return err == nil && *into != [16]byte{}
	}
	return false
}

func spanID(text string, into *[8]byte) bool {
	if len(text) != 16 {
		return false
	}
	_, err := hex.Decode(into[:], []byte(text))
	return err == nil && *into != [8]byte{}
}

// inject tells the upstream of the span.
func (p Propagation) inject(h *stream.Header, t *stream.Trace) {
	trace, span := text(t.ID[:]), text(t.Span[:])
	sampled := "0"
	if t.Sampled {
		sampled = "1"
	}
	if p != W3C {
		if t.Short {
			h.Set("x-b3-traceid", trace[16:])
		} else {
			h.Set("x-b3-traceid", trace)
		}
		h.Set("x-b3-spanid", span)
		if t.Parent != [8]byte{} {
			h.Set("x-b3-parentspanid", text(t.Parent[:]))
		} else {
			h.Del("x-b3-parentspanid")
		}
		h.Set("x-b3-sampled", sampled)
		h.Del("b3")
	}
	if p != B3 {
		h.Set("traceparent", "00-"+trace+"-"+span+"-0"+sampled)
	}
}

func text(b []byte) string { return hex.EncodeToString(b) }

func randomSpan() (id [8]byte) {
	for id == [8]byte{} {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

// randomTrace is a new trace's ID, in 128 bits or in 64.
func randomTrace(long bool) (id [16]byte) {
	low := randomSpan()
	copy(id[8:], low[:])
	if long {
		high := randomSpan()
		copy(id[:8], high[:])
	}
	return id
}
