package compress

import (
	"compress/gzip"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Coding is a content coding (RFC 9110 section 8.4.1), and who writes it.
type Coding struct {
	Name    string // as content-encoding has it
	writers sync.Pool
}

// writer writes a coding. It is used again after Reset.
type writer interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// zstdWindow bounds what a reply in zstd looks back on, and with it the memory
// that it takes here and at its reader.
const zstdWindow = 1 << 20

// Gzip writes gzip with a level, 1 to 9 or -1 for the usual.
func Gzip(level int) *Coding {
	return &Coding{Name: "gzip", writers: sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			w = gzip.NewWriter(nil)
		}
		return w
	}}}
}

// Brotli writes br with a quality, 0 to 11, and a window of so many bits.
func Brotli(quality, window int) *Coding {
	return &Coding{Name: "br", writers: sync.Pool{New: func() any {
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: quality, LGWin: window})
	}}}
}

// Zstd writes zstd with one of its library's levels, 0 for the usual, and a
// checksum if it is wanted.
func Zstd(level int, checksum bool) (*Coding, error) {
	if level == 0 {
		level = 3
	}
	make := func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderCRC(checksum), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	}
	first, err := make()
	if err != nil {
		return nil, err
	}
	c := &Coding{Name: "zstd", writers: sync.Pool{New: func() any {
		w, err := make()
		if err != nil { // the same options were good
			panic(err)
		}
		return w
	}}}
	c.writers.Put(first)
	return c, nil
}

// Decoding is a content coding, and who reads it.
type Decoding struct {
	Name string
	// ratio is how many times as long as what has come the content may be.
	ratio   int64
	readers sync.Pool
}

// reader reads a coding. It is used again after Reset.
type reader interface {
	io.Reader
	Reset(io.Reader) error
}

// Ratio is how much content may expand where nothing is written, as Envoy has it.
const Ratio = 100

// mostWindow is the largest window that a zstd sender may use (RFC 9659).
const mostWindow = 8 << 20

// Gunzip reads gzip that expands ratio times at most, [Ratio] when it is zero.
func Gunzip(ratio int) *Decoding {
	if ratio == 0 {
		ratio = Ratio
	}
	return &Decoding{Name: "gzip", ratio: int64(ratio), readers: sync.Pool{New: func() any { return new(gzip.Reader) }}}
}

// Unbrotli reads br.
func Unbrotli() *Decoding {
	return &Decoding{Name: "br", ratio: Ratio, readers: sync.Pool{New: func() any { return brotli.NewReader(nil) }}}
}

// Unzstd reads zstd.
func Unzstd() *Decoding {
	return &Decoding{Name: "zstd", ratio: Ratio, readers: sync.Pool{New: func() any {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil { // the options do not change
			panic(err)
		}
		return r
	}}}
}
