package http1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// maxChunkLine bounds a chunk's size line with its extensions, and
// maxTrailers the fields behind the last chunk.
const (
	maxChunkLine = 4 << 10
	maxTrailers  = 16 << 10
)

// body reads a message's content off its connection. One lives in each
// connection and is set up again for each message.
type body struct {
	from   *reader
	limits Limits
	// left is what remains of the content, or of the current chunk.
	left int64
	mode bodyMode
	done bool
	// onFirstRead is called before the first wait for content (100-continue).
	onFirstRead func() error
	read        int64
	around      int64           // bytes of framing that have been read
	arrival     *stream.Arrival // of a request; nil of a response
	// broken is true once the content could not be read on: where it ends is
	// not known then.
	broken   bool
	trailers stream.Header
}

type bodyMode uint8

const (
	lengthMode bodyMode = iota
	chunkMode           // inside a chunk, or before its size line when left is 0
	chunkEnd            // behind a chunk's data, before its CRLF
	closeMode           // until the connection ends
)

// errBodyCut is how a request's content ends whose client leaves; errAnswerCut is how a
// response's does, which Envoy takes for a breach of the protocol.
var (
	errBodyCut   = errors.New("the connection ended inside a body")
	errAnswerCut = bad("the connection ended inside a response's content")
)

// wire is how many bytes of the message's content have been read, with their framing.
func (b *body) wire() int64 { return b.read + b.around }

// start sets the body up for a message framed by f.
func (b *body) start(from *reader, f framing, limits Limits) {
	*b = body{from: from, limits: limits, trailers: b.trailers}
	b.trailers.Reset()
	switch {
	case f.chunked:
		b.mode = chunkMode
	case f.length == stream.Unknown:
		b.mode = closeMode
	default:
		b.left, b.done = f.length, f.length == 0
	}
}

// Read implements [stream.Body].
func (b *body) Read(p []byte) (int, error) {
	for len(b.Buffered()) == 0 {
		if b.done {
			return 0, io.EOF
		}
		if err := b.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.Buffered())
	b.Discard(n)
	return n, nil
}

// Wait implements [stream.Body].
func (b *body) Wait() error {
	for len(b.Buffered()) == 0 && !b.done {
		if err := b.more(); err != nil {
			return err
		}
	}
	return nil
}

// Buffered implements [stream.Body].
func (b *body) Buffered() []byte {
	if b.done {
		return nil
	}
	b.advance()
	have := b.from.buf[b.from.r:b.from.w]
	switch b.mode {
	case closeMode:
		return have
	case chunkEnd:
		return nil
	}
	return have[:min(int64(len(have)), b.left)]
}

// Discard implements [stream.Body].
func (b *body) Discard(n int) {
	b.from.r += n
	b.read += int64(n)
	switch b.mode {
	case lengthMode:
		b.left -= int64(n)
		if b.left == 0 {
			b.finish()
		}
	case chunkMode:
		if b.left -= int64(n); b.left == 0 {
			b.mode = chunkEnd
			b.advance()
		}
	}
}

// finish notes that there is no more.
func (b *body) finish() {
	if b.done = true; b.arrival != nil && !b.arrival.Whole() {
		b.arrival.Note(time.Now())
	}
}

// Complete implements [stream.Body].
func (b *body) Complete() bool {
	if !b.done && b.mode != closeMode {
		b.advance()
	}
	return b.done
}

// Trailers implements [stream.Body].
func (b *body) Trailers() *stream.Header {
	if b.trailers.Len() == 0 {
		return nil
	}
	return &b.trailers
}

// advance reads as much chunk framing as is buffered, without waiting. Errors
// are found again, and told, by more.
func (b *body) advance() {
	for !b.done && (b.mode == chunkEnd || b.mode == chunkMode && b.left == 0) {
		if progress, err := b.framing(); !progress || err != nil {
			return
		}
	}
}

// more waits for content or for the end of it.
func (b *body) more() error {
	err := b.receive()
	b.broken = b.broken || err != nil
	return err
}

func (b *body) receive() error {
	if b.onFirstRead != nil {
		first := b.onFirstRead
		b.onFirstRead = nil
		if err := first(); err != nil {
			return err
		}
	}
	if b.mode == chunkEnd || b.mode == chunkMode && b.left == 0 {
		if progress, err := b.framing(); progress || err != nil {
			return err
		}
	}
	if b.from.filled || b.left > bulkBuffer/2 {
		b.from.grow()
	}
	switch err := b.from.fill(); {
	case err == nil:
		return nil
	case b.mode == closeMode && errors.Is(err, io.EOF):
		b.finish()
		return nil
	case b.mode == closeMode, errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case b.arrival == nil:
		return errAnswerCut
	case errors.Is(err, io.EOF):
		return errBodyCut
	default:
		return err
	}
}

// framing reads one piece of chunk framing from the buffer. It reports whether
// there was a whole piece.
func (b *body) framing() (bool, error) {
	have := b.from.buf[b.from.r:b.from.w]
	if b.mode == chunkEnd {
		if len(have) < 2 {
			return false, nil
		}
		if have[0] != '\r' || have[1] != '\n' {
			return false, bad("no CR LF behind a chunk")
		}
		b.from.r += 2
		b.around += 2
		b.mode = chunkMode
		return true, nil
	}
	end := bytes.IndexByte(have, '\n')
	if end < 0 {
		if len(have) > maxChunkLine {
			return false, bad("a chunk's size line is too long")
		}
		return false, nil
	}
	size, err := chunkSize(have[:end+1])
	if err != nil {
		return false, err
	}
	if size > 0 {
		b.from.r += end + 1
		b.around += int64(end + 1)
		b.left = size
		return true, nil
	}
	return b.lastChunk(have, end+1)
}

// chunkSize reads "SIZE[;EXTENSION] CR LF" (RFC 9112 section 7.1). Extensions
// are checked for stray bytes and dropped.
func chunkSize(line []byte) (int64, error) {
	if len(line) < 3 || line[len(line)-2] != '\r' || len(line) > maxChunkLine {
		return 0, bad("malformed chunk size line")
	}
	line = line[:len(line)-2]
	var n int64
	i := 0
	for ; i < len(line); i++ {
		digit, ok := hexDigit(line[i])
		if !ok {
			break
		}
		if i >= 15 {
			return 0, bad("chunk size overflows")
		}
		n = n<<4 | int64(digit)
	}
	if i == 0 {
		return 0, bad("a chunk without a size")
	}
	if i < len(line) && line[i] != ';' {
		return 0, bad("malformed chunk size")
	}
	for _, c := range line[i:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, bad("invalid byte in a chunk extension")
		}
	}
	return n, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10, true
	}
	return 0, false
}

// lastChunk reads the trailers, whose section begins at from.
func (b *body) lastChunk(have []byte, from int) (bool, error) {
	rest := have[from:]
	section := 2
	if !bytes.HasPrefix(rest, crlfcrlf[:2]) {
		if i := bytes.Index(rest, crlfcrlf); i >= 0 {
			section = i + 4
		} else if len(rest) > maxTrailers {
			return false, bad("trailers are too long")
		} else {
			return false, nil
		}
	}
	head := bytes.Clone(rest[:section]) // outlives the buffer's next move
	for {
		line, next, err := cutLine(head)
		if err != nil {
			return false, err
		}
		if head = next; len(line) == 0 {
			break
		}
		name, value, err := field(line)
		if err != nil {
			return false, err
		}
		if !stream.ValidTrailer(name) {
			return false, bad("a trailer that may not be one: " + name)
		}
		if b.trailers.Len() >= b.limits.MaxHeaders {
			return false, bad("too many trailers")
		}
		b.trailers.Add(name, value)
	}
	b.from.r += from + section
	b.around += int64(from + section)
	b.finish()
	return true, nil
}
