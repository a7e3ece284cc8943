package redirect

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// helloTimeout is how long a client may take to say where it wants to go.
const helloTimeout = 30 * time.Second

// mixed finds out what a connection to the proxy port speaks. SOCKS5 and
// CONNECT say a destination: they go out as if redirected. Other HTTP goes to
// the proxy's own listener for it, which routes each request.
func (x *Explicit) mixed(ctx context.Context, c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(helloTimeout))
	in := &peeked{Conn: c, r: bufio.NewReader(c)}
	first, err := in.r.Peek(1)
	if err != nil {
		_ = c.Close()
		return
	}
	var original netip.AddrPort
	switch {
	case first[0] == 5:
		original, err = x.socks(ctx, in)
	case x.connects(in):
		original, err = x.connect(ctx, in)
	default:
		_ = c.SetReadDeadline(time.Time{})
		x.Handover(in, proxyListener, proxyListener)
		return
	}
	if err != nil {
		x.Log.Info("outbound connection refused", "error", err)
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	x.Handover(in, outboundListener, original)
}

// peeked is a connection of which some bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was looked at, then the rest.
func (p *peeked) Read(b []byte) (int, error) {
	if p.r != nil && p.r.Buffered() > 0 {
		return p.r.Read(b)
	}
	return p.Conn.Read(b)
}

// CloseWrite ends the sending half, where the connection can.
func (p *peeked) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// The words of SOCKS5 (RFC 1928).
const (
	socksConnect                                  = 1
	socksIPv4, socksName, socksIPv6               = 1, 3, 4
	socksOK, socksFailed, socksUnreachable        = 0, 1, 4
	socksBadCommand, socksBadAddress, socksNoAuth = 7, 8, 0
)

// socks reads a SOCKS5 greeting and request, and answers them.
func (x *Explicit) socks(ctx context.Context, c *peeked) (netip.AddrPort, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return netip.AddrPort{}, fmt.Errorf("SOCKS5 greeting: %w", err)
	}
	if _, err := io.CopyN(io.Discard, c.r, int64(head[1])); err != nil {
		return netip.AddrPort{}, fmt.Errorf("SOCKS5 greeting: %w", err)
	}
	if _, err := c.Conn.Write([]byte{5, socksNoAuth}); err != nil {
		return netip.AddrPort{}, fmt.Errorf("SOCKS5 greeting: %w", err)
	}
	answer := func(code byte) { _, _ = c.Conn.Write([]byte{5, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0}) }
	host, port, code, err := socksRequest(c.r)
	if err != nil {
		answer(code)
		return netip.AddrPort{}, err
	}
	addr, err := x.resolve(ctx, host)
	if err != nil {
		answer(socksUnreachable)
		return netip.AddrPort{}, err
	}
	answer(socksOK)
	return netip.AddrPortFrom(addr, port), nil
}

func socksRequest(r io.Reader) (host string, port uint16, code byte, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", 0, socksFailed, fmt.Errorf("SOCKS5 request: %w", err)
	}
	if head[1] != socksConnect {
		return "", 0, socksBadCommand, fmt.Errorf("SOCKS5 command %d is not supported: only CONNECT is", head[1])
	}
	size := make([]byte, 1)
	switch head[3] {
	case socksIPv4:
		size[0] = 4
	case socksIPv6:
		size[0] = 16
	case socksName:
		if _, err := io.ReadFull(r, size); err != nil {
			return "", 0, socksFailed, fmt.Errorf("SOCKS5 request: %w", err)
		}
	default:
		return "", 0, socksBadAddress, fmt.Errorf("SOCKS5 address type %d is not known", head[3])
	}
	rest := make([]byte, int(size[0])+2)
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", 0, socksFailed, fmt.Errorf("SOCKS5 request: %w", err)
	}
	port = binary.BigEndian.Uint16(rest[size[0]:])
	if head[3] == socksName {
		return string(rest[:size[0]]), port, 0, nil
	}
	a, _ := netip.AddrFromSlice(rest[:size[0]])
	return a.Unmap().String(), port, 0, nil
}

// connects reports whether an HTTP request begins that asks for a tunnel.
func (x *Explicit) connects(c *peeked) bool {
	const method = "CONNECT "
	for n := 1; n <= len(method); n++ {
		seen, err := c.r.Peek(n)
		if err != nil || !strings.HasPrefix(method, string(seen)) {
			return false
		}
	}
	return true
}

// connect reads a CONNECT request (RFC 9110, section 9.3.6) and answers it.
func (x *Explicit) connect(ctx context.Context, c *peeked) (netip.AddrPort, error) {
	req, err := http.ReadRequest(c.r)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("CONNECT: %w", err)
	}
	refuse := func(status string, err error) (netip.AddrPort, error) {
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 "+status+"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
		return netip.AddrPort{}, err
	}
	host, portText, err := net.SplitHostPort(req.Host)
	if err != nil {
		return refuse("400 Bad Request", fmt.Errorf("CONNECT %q: %w", req.Host, err))
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return refuse("400 Bad Request", fmt.Errorf("CONNECT %q: port: %w", req.Host, err))
	}
	addr, err := x.resolve(ctx, host)
	if err != nil {
		return refuse("502 Bad Gateway", err)
	}
	if _, err := io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return netip.AddrPort{}, fmt.Errorf("CONNECT %q: %w", req.Host, err)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

func (x *Explicit) resolve(ctx context.Context, host string) (netip.Addr, error) {
	addrs, err := x.Resolve(ctx, host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(addrs) == 0 {
		return netip.Addr{}, errors.New("resolve " + host + ": no address")
	}
	return addrs[0], nil
}
