package http2

import (
	"io"
	"strconv"
)

// tunnel is a stream as a connection, behind a CONNECT.
type tunnel struct{ t *transfer }

// Read implements [io.Reader].
func (u tunnel) Read(p []byte) (int, error) { return u.t.Read(p) }

// Write implements [io.Writer].
func (u tunnel) Write(p []byte) (int, error) {
	if err := u.t.content(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite ends our direction.
func (u tunnel) CloseWrite() error { return u.t.content(nil, true) }

// Close gives the stream up.
func (u tunnel) Close() error {
	u.t.c.mu.Lock()
	defer u.t.c.mu.Unlock()
	if !u.t.gone && (!u.t.ended || !u.t.sentEnd) {
		u.t.c.resetStream(u.t, Cancel, errOver)
	}
	return nil
}

var _ io.ReadWriteCloser = tunnel{}

// endWrite tells the other side that no more comes.
func endWrite(conn io.Closer, err error) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite() // a side that is gone needs no end
		return
	}
	conn.Close()
}

// statuses are the texts of all codes, made once.
var statuses = func() (s [1000]string) {
	for code := range s {
		s[code] = strconv.Itoa(code)
	}
	return s
}()

func statusText(code int) string {
	if code < 100 || code > 999 {
		code = 500
	}
	return statuses[code]
}

// lengths are the texts of short lengths, made once.
var lengths = func() (s [4096]string) {
	for n := range s {
		s[n] = strconv.Itoa(n)
	}
	return s
}()

// length adds Content-Length to the section that is being gathered.
func (c *conn) length(n int64) {
	if n < int64(len(lengths)) {
		c.field("content-length", lengths[n])
		return
	}
	c.field("content-length", strconv.FormatInt(n, 10))
}
