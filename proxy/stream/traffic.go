package stream

import (
	"net"
	"sync/atomic"
)

// Traffic counts bytes.
type Traffic struct{ In, Out atomic.Int64 }

// Conn is c, counting what is read and written.
func (t *Traffic) Conn(c net.Conn) net.Conn { return &counted{c, t} }

type counted struct {
	net.Conn
	traffic *Traffic
}

// Read implements [io.Reader].
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.In.Add(int64(n))
	return n, err
}

// Write implements [io.Writer].
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.Out.Add(int64(n))
	return n, err
}

// CloseWrite ends our direction.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// NetConn is the connection beneath.
func (c *counted) NetConn() net.Conn { return c.Conn }
