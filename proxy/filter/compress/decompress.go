package compress

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Decompressor takes one coding off.
type Decompressor struct {
	Decoding *Decoding
	// Library is what the trailers that tell of sizes are named for.
	Library string
	// Request and Response say which messages it is for.
	Request, Response Direction
	// Advertise tells the upstream that its replies may be in the coding.
	Advertise bool
}

// Direction is one way through the proxy.
type Direction struct {
	On runtime.Flag
	// Transform is also for messages that are not to be transformed.
	Transform bool
}

// Handle implements [stream.Filter].
func (d *Decompressor) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if d.Advertise && d.Response.On.Set() {
		value := d.Decoding.Name
		if have, _ := req.Header.Joined("accept-encoding"); have != "" {
			value = have + "," + value
		}
		req.Header.Set("accept-encoding", value)
	}
	if req.Body != nil && req.Upgrade == "" && d.takes(&d.Request, &req.Header) {
		req.Body, req.Length = d.content(req.Body), stream.Unknown
	}
	resp, err := next.Handle(req)
	if err == nil && resp.Body != nil && req.Method != "HEAD" && d.takes(&d.Response, &resp.Header) {
		resp.Body, resp.Length = d.content(resp.Body), stream.Unknown
	}
	return resp, err
}

// takes reports whether the coding is the last one that was applied to a message,
// and takes it off its head then.
func (d *Decompressor) takes(way *Direction, h *stream.Header) bool {
	if !way.On.Set() {
		return false
	}
	codings, found := h.Joined("content-encoding")
	if !found || !way.Transform && asItIs(h) {
		return false
	}
	end := strings.LastIndexByte(codings, ',')
	if !strings.EqualFold(strings.TrimSpace(codings[end+1:]), d.Decoding.Name) {
		return false
	}
	if end < 0 {
		h.Del("content-encoding")
	} else {
		h.Set("content-encoding", strings.TrimSpace(codings[:end]))
	}
	return true
}

func (d *Decompressor) content(from stream.Body) *content {
	c := &content{library: d.Library, decoding: d.Decoding, source: &source{from: from}}
	c.reader = d.Decoding.readers.Get().(reader)
	return c
}

// content is content whose coding is being taken off.
type content struct {
	library  string
	decoding *Decoding
	source   *source
	reader   reader // nil when all has been read
	began    bool
	buf      []byte
	ready    []byte
	size     int64
	err      error // why nothing more comes
	trailers stream.Header
}

// decodedAtOnce is how much is decoded ahead.
const decodedAtOnce = 8 << 10

// Wait implements [stream.Body].
func (c *content) Wait() error {
	for len(c.ready) == 0 && c.reader != nil {
		if c.err != nil {
			return c.err
		}
		if c.buf == nil {
			c.buf = make([]byte, decodedAtOnce)
		}
		n, err := c.read()
		c.ready = c.buf[:n]
		c.size += int64(n)
		switch {
		case err == io.EOF:
			c.end()
		case c.source.err != nil:
			c.err = c.source.err
		case err != nil:
			c.err = &CodingError{c.decoding.Name, err}
		case c.size > c.decoding.ratio*c.source.size:
			c.err = &CodingError{c.decoding.Name, fmt.Errorf("it expands more than %d times", c.decoding.ratio)}
		}
	}
	return nil
}

func (c *content) read() (int, error) {
	if !c.began {
		c.began = true
		if from := c.source.from; len(from.Buffered()) == 0 && !from.Complete() {
			if c.source.err = from.Wait(); c.source.err != nil {
				return 0, c.source.err
			}
		}
		if c.source.from.Complete() {
			return 0, io.EOF // a body without content need not be coded
		}
		if err := c.reader.Reset(c.source); err != nil {
			if err == io.EOF && c.source.size > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return c.reader.Read(c.buf)
}

// end gives the reader back, and writes the trailers: those that have come, and
// the sizes.
func (c *content) end() {
	if t := c.source.from.Trailers(); t != nil {
		t.CopyTo(&c.trailers)
	}
	name := "x-envoy-decompressor-" + c.library
	c.trailers.Add(name+"-compressed-bytes", strconv.FormatInt(c.source.size, 10))
	c.trailers.Add(name+"-uncompressed-bytes", strconv.FormatInt(c.size, 10))
	c.decoding.readers.Put(c.reader)
	c.reader, c.source.from = nil, nil // a reader that waits for its next use keeps nothing alive
}

// Read implements [stream.Body].
func (c *content) Read(p []byte) (int, error) { return stream.ReadBuffered(c, p) }

// Buffered implements [stream.Body].
func (c *content) Buffered() []byte { return c.ready }

// Discard implements [stream.Body].
func (c *content) Discard(n int) { c.ready = c.ready[n:] }

// Complete implements [stream.Body].
func (c *content) Complete() bool { return c.reader == nil && len(c.ready) == 0 }

// Trailers implements [stream.Body].
func (c *content) Trailers() *stream.Header { return &c.trailers }

// source is what a reader reads.
type source struct {
	from stream.Body
	size int64
	err  error // the sender's failure, as opposed to the coding's
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.size += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// A CodingError says that content is not in the coding that its head tells.
type CodingError struct {
	Coding string
	Err    error
}

// Error names the coding.
func (e *CodingError) Error() string { return "content in " + e.Coding + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *CodingError) Unwrap() error { return e.Err }

// Syntax marks it as the sender's mistake.
func (e *CodingError) Syntax() {}

var (
	_ stream.Filter = (*Decompressor)(nil)
	_ stream.Body   = (*content)(nil)
)
