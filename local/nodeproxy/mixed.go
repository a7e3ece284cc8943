package nodeproxy

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"time"
)

// runMixed serves SOCKS5 and HTTP on one port, told apart by the first byte.
func (p *Proxy) runMixed(ctx context.Context) error {
	if !p.cfg.Mixed.IsValid() {
		<-ctx.Done()
		return nil
	}
	l, err := net.Listen("tcp", p.cfg.Mixed.String())
	if err != nil {
		return fmt.Errorf("listen for pods without a sidecar: %w", err)
	}
	plain := &handed{conns: make(chan net.Conn), done: ctx.Done(), addr: l.Addr()}
	server := &http.Server{Handler: p.httpProxy(), ReadHeaderTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		server.Close()
	})
	defer stop()
	go func() { _ = server.Serve(plain) }() // ends with server.Close
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go p.tellApart(conn, plain)
	}
}

// handed is a listener whose connections somebody else has accepted.
type handed struct {
	conns chan net.Conn
	done  <-chan struct{}
	addr  net.Addr
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error   { return nil }
func (h *handed) Addr() net.Addr { return h.addr }

// peeked is a connection whose first bytes have been looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (c *peeked) Read(b []byte) (int, error) { return c.r.Read(b) }

// CloseWrite ends our direction.
func (c *peeked) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return c.Conn.Close()
}

const socksVersion = 5

func (p *Proxy) tellApart(conn net.Conn, plain *handed) {
	c := &peeked{conn, bufio.NewReader(conn)}
	first, err := c.r.Peek(1)
	if err != nil {
		conn.Close()
		return
	}
	if first[0] == socksVersion {
		if err := p.socks(c); err != nil {
			p.cfg.Log.Debug("SOCKS request failed", "peer", conn.RemoteAddr(), "error", err)
		}
		conn.Close()
		return
	}
	select {
	case plain.conns <- c:
	case <-plain.done:
		conn.Close()
	}
}

// socks serves one CONNECT of SOCKS5 (RFC 1928) without authentication.
func (p *Proxy) socks(c *peeked) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, int64(head[1])); err != nil {
		return err
	}
	if _, err := c.Write([]byte{socksVersion, 0}); err != nil {
		return err
	}
	host, port, err := socksRequest(c)
	if err != nil {
		return err
	}
	up, err := p.connect(context.Background(), c.RemoteAddr(), host, port)
	status := byte(0)
	if err != nil {
		status = 4 // host unreachable
	}
	if _, werr := c.Write([]byte{socksVersion, status, 0, 1, 0, 0, 0, 0, 0, 0}); werr != nil || err != nil {
		return errors.Join(err, werr)
	}
	join(c, up)
	return nil
}

func socksRequest(r io.Reader) (host string, port uint16, err error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", 0, err
	}
	if head[0] != socksVersion || head[1] != 1 {
		return "", 0, fmt.Errorf("SOCKS command %d: only CONNECT is supported", head[1])
	}
	size := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[3] == 3 {
		n := make([]byte, 1)
		if _, err := io.ReadFull(r, n); err != nil {
			return "", 0, err
		}
		size = int(n[0])
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", 0, err
	}
	host = string(rest[:size])
	if a, ok := netip.AddrFromSlice(rest[:size]); ok && head[3] != 3 {
		host = a.String()
	}
	return host, binary.BigEndian.Uint16(rest[size:]), nil
}

// connect resolves a name for the pod that asks and dials it.
func (p *Proxy) connect(ctx context.Context, from net.Addr, host string, port uint16) (net.Conn, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		var pod netip.Addr
		if t, ok := from.(*net.TCPAddr); ok {
			pod = t.AddrPort().Addr().Unmap()
		}
		if addr, err = p.cfg.Resolve(ctx, pod, host); err != nil {
			return nil, err
		}
	}
	return p.dial(ctx, netip.AddrPortFrom(addr, port))
}

// httpProxy carries requests for absolute URLs, and CONNECT.
func (p *Proxy) httpProxy() http.Handler {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			host, port, err := splitPort(address)
			if err != nil {
				return nil, err
			}
			from, _ := ctx.Value(fromKey{}).(net.Addr)
			return p.connect(ctx, from, host, port)
		},
		DisableKeepAlives: true, // names mean different things to different pods
	}
	forward := &httputil.ReverseProxy{Transport: transport, Rewrite: func(*httputil.ProxyRequest) {}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := net.ResolveTCPAddr("tcp", r.RemoteAddr) // RemoteAddr is numeric
		switch {
		case r.Method == http.MethodConnect:
			p.tunnel(w, r, from)
		case !r.URL.IsAbs():
			http.Error(w, "this is a proxy: ask for an absolute URL", http.StatusBadRequest)
		default:
			forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), fromKey{}, net.Addr(from))))
		}
	})
}

type fromKey struct{}

func splitPort(address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(port), err
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, from net.Addr) {
	host, port, err := splitPort(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	up, err := p.connect(r.Context(), from, host, port)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		up.Close()
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		up.Close()
		return
	}
	join(&peeked{conn, buffered.Reader}, up)
}
