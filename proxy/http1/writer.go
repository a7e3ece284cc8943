package http1

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// directWrite is the size from which content is written from where it lies
// instead of being gathered with what stands before it.
const directWrite = 8 << 10

// writer gathers a message so that its head and the first bytes of its body go
// out in one write.
type writer struct {
	dst  io.Writer
	buf  []byte
	sent int64 // bytes handed to dst
	// moves counts writes; nil counts nothing.
	moves *atomic.Uint64
}

// write hands p over.
func (w *writer) write(p []byte) error {
	n, err := w.dst.Write(p)
	w.sent += int64(n)
	if w.moves != nil {
		w.moves.Add(1)
	}
	return err
}

func (w *writer) text(s string) { w.buf = append(w.buf, s...) }

func (w *writer) field(name, value string) {
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, ": "...)
	w.buf = append(w.buf, value...)
	w.buf = append(w.buf, "\r\n"...)
}

// fields writes fields, each a line: one that would be several, which no peer's can be,
// is left out.
func (w *writer) fields(h *stream.Header) {
	at := len(w.buf)
	for i := range h.Len() {
		f := h.At(i)
		w.field(f.Name, f.Value)
	}
	if written := w.buf[at:]; bytes.Count(written, lf) == h.Len() && bytes.Count(written, cr) == h.Len() {
		return
	}
	w.buf = w.buf[:at]
	for i := range h.Len() {
		if f := h.At(i); !strings.ContainsAny(f.Name, "\r\n") && !strings.ContainsAny(f.Value, "\r\n") {
			w.field(f.Name, f.Value)
		}
	}
}

var lf, cr = []byte{'\n'}, []byte{'\r'}

func (w *writer) length(n int64) {
	w.text("content-length: ")
	w.buf = strconv.AppendInt(w.buf, n, 10)
	w.text("\r\n")
}

// flush sends what has been gathered.
func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// content sends p, chunked if so framed.
func (w *writer) content(p []byte, chunked bool) error {
	if chunked {
		w.buf = strconv.AppendInt(w.buf, int64(len(p)), 16)
		w.text("\r\n")
	}
	if len(p) < directWrite {
		w.buf = append(w.buf, p...)
	} else {
		if err := w.flush(); err != nil {
			return err
		}
		if err := w.write(p); err != nil {
			return err
		}
	}
	if chunked {
		w.text("\r\n")
	}
	return nil
}

// body sends all of b. Whatever has been gathered goes out before it waits. It
// returns the number of content bytes.
func (w *writer) body(b stream.Body, chunked bool) (int64, error) {
	var total int64
	for {
		p := b.Buffered()
		if len(p) == 0 {
			if b.Complete() {
				break
			}
			if err := w.flush(); err != nil {
				return total, err
			}
			if err := b.Wait(); err != nil {
				return total, stream.SourceError{Err: err}
			}
			continue
		}
		if err := w.content(p, chunked); err != nil {
			return total, err
		}
		total += int64(len(p))
		b.Discard(len(p))
	}
	if chunked {
		w.text("0\r\n")
		if t := b.Trailers(); t != nil {
			w.fields(t)
		}
		w.text("\r\n")
	}
	return total, w.flush()
}
