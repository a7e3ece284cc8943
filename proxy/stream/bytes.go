package stream

import "io"

// Bytes is a body that is in memory as a whole.
type Bytes struct{ left []byte }

// NewBytes makes a body of p, which must not change while it is used.
func NewBytes(p []byte) *Bytes { return &Bytes{p} }

// Read implements [Body].
func (b *Bytes) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Wait implements [Body].
func (b *Bytes) Wait() error { return nil }

// Buffered implements [Body].
func (b *Bytes) Buffered() []byte { return b.left }

// Discard implements [Body].
func (b *Bytes) Discard(n int) { b.left = b.left[n:] }

// Complete implements [Body].
func (b *Bytes) Complete() bool { return len(b.left) == 0 }

// Trailers implements [Body].
func (b *Bytes) Trailers() *Header { return nil }

var _ Body = (*Bytes)(nil)

// ReadBuffered reads a body by its other methods.
func ReadBuffered(b Body, p []byte) (int, error) {
	for len(b.Buffered()) == 0 {
		if b.Complete() {
			return 0, io.EOF
		}
		if err := b.Wait(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.Buffered())
	b.Discard(n)
	return n, nil
}
