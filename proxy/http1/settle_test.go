package http1

import (
	"net"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// timed is a connection that only remembers its write deadline.
type timed struct {
	net.Conn
	write time.Time
	onSet func()
}

func (c *timed) SetWriteDeadline(t time.Time) error { c.write = t; c.onSet(); return nil }
func (c *timed) SetDeadline(t time.Time) error      { c.write = t; return nil }

// A connection whose upload was given a moment to end is as good as new for the
// next request.
func TestSettledConnectionKeepsNoDeadline(t *testing.T) {
	sent := make(chan struct{})
	conn := &timed{onSet: func() { close(sent) }}
	c := NewClient(conn, Limits{})
	c.body.done = true
	req := &stream.Request{Info: &stream.Info{}}
	req.Upload.Go(func() { <-sent })
	c.Settle(req)
	if conn.write.IsZero() {
		t.Fatal("the upload was given no time")
	}
	if !c.Finish() || !conn.write.IsZero() {
		t.Errorf("write deadline %v stays on a connection that is used again", conn.write)
	}
}
