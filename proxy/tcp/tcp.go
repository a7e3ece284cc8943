package tcp

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Proxy carries connections to a cluster.
type Proxy struct {
	cfg   Config
	total uint64
}

// New makes a proxy.
func New(cfg Config) *Proxy {
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Hour
	}
	if cfg.ConnectAttempts == 0 {
		cfg.ConnectAttempts = 1
	}
	p := &Proxy{cfg: cfg}
	for _, c := range cfg.Clusters {
		p.total += uint64(c.Weight)
	}
	return p
}

// Serve carries conn to an endpoint and back until both directions have ended.
// It implements the listener's handler.
func (p *Proxy) Serve(conn net.Conn, facts *stream.Conn, _ <-chan struct{}) {
	defer conn.Close()
	info := &stream.Info{Start: facts.Start, Metadata: facts.Metadata}
	noted := &stream.TCP{Conn: facts, Info: info}
	if o := p.cfg.Observer; o != nil {
		o.Opened(noted)
		defer func() {
			info.End = time.Now()
			o.Closed(noted)
		}()
	}
	if p.cfg.Tunnel != nil {
		p.tunnel(conn, noted)
		return
	}
	c, host, up := p.connect(facts, info)
	if up == nil {
		return
	}
	if t, ok := up.Conn.(interface{ Told() *stream.Peer }); ok {
		noted.Told = t.Told
	}
	host.Active.Add(1)
	defer func() {
		host.Active.Add(-1)
		host.Pool().Close(up)
	}()
	over := c.Follow(host, func() { conn.Close(); up.Conn.Close() })
	info.Passed(p.carry(conn, up.Conn, noted))
	over()
	c.Stats.Traffic.In.Add(info.BytesSent)
	c.Stats.Traffic.Out.Add(info.BytesReceived)
}

// connect finds an endpoint that accepts, and notes why when there is none.
func (p *Proxy) connect(facts *stream.Conn, info *stream.Info) (*cluster.Cluster, *cluster.Host, *pool.Conn) {
	handle := p.choose(facts)
	var c *cluster.Cluster
	if handle != nil {
		c = handle.Load()
	}
	if c == nil {
		info.Flags |= stream.NoCluster
		return nil, nil, nil
	}
	info.Cluster, info.Destination = c.Name, c.Service
	var tried []*cluster.Host
	for range p.cfg.ConnectAttempts {
		host := p.pick(c, facts, tried)
		if host == nil {
			info.Flags |= stream.NoHealthyUpstream
			return c, nil, nil
		}
		tried = append(tried, host)
		pooled := c.Default.AcquireStreamTo(host)
		if pooled == nil {
			info.Flags |= stream.UpstreamOverflow
			return c, nil, nil
		}
		host.Total.Add(1)
		info.Upstream, info.UpstreamMTLS, info.UpstreamPeer = host.Address, host.MTLS, host.Peer
		info.Described = stream.Described{Cluster: &c.Metadata, Endpoint: host.Metadata()}
		began := time.Now()
		up, err := c.Connect(context.Background(), pooled, pool.TLSRequest{Ends: pool.EndsOf(facts)})
		info.UpstreamAsked, info.UpstreamWait = true, time.Since(began)
		if err == nil {
			info.Flags &^= stream.UpstreamFailure
			if local, ok := up.LocalAddr().(*net.TCPAddr); ok {
				info.UpstreamLocal = netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), uint16(local.Port))
			}
			info.UpstreamTLS, info.UpstreamShown, info.UpstreamName, info.UpstreamConnection = up.TLS, up.Shown, host.Name, up.ID
			if t := up.TLS; t != nil && len(t.PeerCertificates) > 0 && len(t.PeerCertificates[0].URIs) > 0 {
				info.UpstreamURI = t.PeerCertificates[0].URIs[0].String()
			}
			c.Report(host, cluster.OK, time.Now)
			return c, host, up
		}
		c.Report(host, cluster.LocalFailure, time.Now)
		info.Flags |= stream.UpstreamFailure
		info.UpstreamFailure = reason(err)
	}
	return c, nil, nil
}

func reason(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "delayed_connect_error:_Connection_refused"
	}
	return strings.ReplaceAll(err.Error(), " ", "_")
}

func (p *Proxy) choose(facts *stream.Conn) *cluster.Handle {
	if facts.Cluster != "" {
		return p.cfg.Find(facts.Cluster)
	}
	if len(p.cfg.Clusters) == 1 {
		return p.cfg.Clusters[0].Cluster
	}
	if p.total == 0 {
		return nil
	}
	draw := rand.Uint64N(p.total)
	for i := range p.cfg.Clusters {
		w := uint64(p.cfg.Clusters[i].Weight)
		if draw < w {
			return p.cfg.Clusters[i].Cluster
		}
		draw -= w
	}
	return nil
}

func (p *Proxy) pick(c *cluster.Cluster, facts *stream.Conn, tried []*cluster.Host) *cluster.Host {
	if c.Kind == cluster.OriginalDst {
		return c.Original(facts.Original)
	}
	choice := cluster.Choice{Avoid: tried, Attempts: 3}
	if p.cfg.HashSource && facts.Remote.IsValid() {
		choice.Hash, choice.HasHash = cluster.HashString(facts.Remote.Addr().String()), true
	}
	return c.Pick(choice)
}

// carry copies both ways, and gives the bytes of each. A direction that ends is told
// to the other side, so that half-closed conversations work.
func (p *Proxy) carry(down net.Conn, up io.ReadWriteCloser, noted *stream.TCP) (fromClient, toClient int64) {
	idle := &watch{limit: p.cfg.IdleTimeout, sides: [2]io.Closer{down, up}}
	idle.touch()
	stop := idle.start(p.cfg.MaxDuration)
	var received, sent counter
	if o := p.cfg.Observer; o != nil {
		received.tell = func(n int64) { o.Progress(noted, n, 0) }
		sent.tell = func(n int64) { o.Progress(noted, 0, n) }
	}
	var upward sync.WaitGroup
	upward.Go(func() { copyHalf(up, down, idle, &received) })
	copyHalf(down, up, idle, &sent)
	upward.Wait()
	if ended := stop(); ended != "" {
		noted.Info.Details = ended
	}
	return received.total, sent.total
}

// counter adds up the bytes of one direction.
type counter struct {
	total int64
	tell  func(int64) // may be nil
}

func (c *counter) add(n int64) {
	c.total += n
	if c.tell != nil {
		c.tell(n)
	}
}

// buffers for copying; a connection that carries nothing holds none of them for
// longer than a read.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// spliceAfter is how much a direction carries through memory before the kernel
// is asked to move the rest itself: for short exchanges a pipe costs more than it
// saves.
const spliceAfter = 128 << 10

// copyHalf carries one direction to its end.
func copyHalf(dst, src io.ReadWriteCloser, idle *watch, count *counter) {
	buf := buffers.Get().(*[]byte)
	var err error
	for err == nil {
		var n int
		n, err = src.Read(*buf)
		if n > 0 {
			idle.touch()
			if _, writeErr := dst.Write((*buf)[:n]); writeErr != nil {
				err = writeErr
			}
			count.add(int64(n))
		}
		if err == nil && count.total > spliceAfter {
			to, from := socket(dst), socket(src)
			if to != nil && from != nil {
				buffers.Put(buf)
				buf = nil
				err = spliceHalf(to, from, idle, count)
			}
		}
	}
	if buf != nil {
		buffers.Put(buf)
	}
	if errors.Is(err, io.EOF) {
		if half, ok := dst.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			return
		}
	}
	// An error ends both directions: the peer must not wait for the rest.
	dst.Close()
	src.Close()
}

// socket is the socket beneath a connection whose bytes are the socket's own, nil
// when there is none.
func socket(c io.ReadWriteCloser) *net.TCPConn {
	switch c := c.(type) {
	case *net.TCPConn:
		return c
	case interface{ Beneath() net.Conn }:
		tcp, _ := c.Beneath().(*net.TCPConn)
		return tcp
	}
	return nil
}

// longestSplice bounds how long the kernel moves bytes before it is asked how
// many.
const longestSplice = 5 * time.Second

// spliceHalf lets the kernel move bytes in pieces, so that idleness and counts
// stay known. It ends with an error, which is [io.EOF] when all is done.
func spliceHalf(dst, src *net.TCPConn, idle *watch, count *counter) error {
	longest := longestSplice
	if idle.limit > 0 {
		longest = min(longest, idle.limit/4)
	}
	for {
		// Only reading has a deadline: what is on its way to dst is never given up.
		if err := src.SetReadDeadline(time.Now().Add(longest)); err != nil {
			return err
		}
		n, err := dst.ReadFrom(&io.LimitedReader{R: src, N: 4 << 20})
		if n > 0 {
			count.add(n)
			idle.touch()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		}
	}
}

// watch ends a connection on which nothing moves, or that is too old.
type watch struct {
	limit time.Duration
	sides [2]io.Closer
	last  atomic.Int64 // Unix nanoseconds

	mu    sync.Mutex
	idle  *time.Timer // guarded by mu; nil without a limit
	over  bool        // guarded by mu: it is not watched any more
	ended string      // guarded by mu: why it was ended; empty when it was not
}

func (w *watch) touch() { w.last.Store(time.Now().UnixNano()) }

// start begins to watch. The result stops that, and tells why the connection was
// ended, if it was.
func (w *watch) start(maxDuration time.Duration) (stop func() (ended string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit > 0 {
		w.idle = time.AfterFunc(w.limit, w.look)
	}
	var old *time.Timer
	if maxDuration > 0 {
		old = time.AfterFunc(maxDuration, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.end("max_duration_timeout")
		})
	}
	return func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = true
		for _, t := range []*time.Timer{w.idle, old} {
			if t != nil {
				t.Stop()
			}
		}
		return w.ended
	}
}

// look is called when the connection may have been idle for too long.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.limit - time.Since(time.Unix(0, w.last.Load()))
	switch {
	case w.over:
	case left > 0:
		w.idle.Reset(left)
	default:
		w.end("idle_timeout")
	}
}

// end ends the connection, unless it has ended by itself or for another reason. The
// caller holds mu.
func (w *watch) end(why string) {
	if w.over {
		return
	}
	w.over, w.ended = true, why
	for _, s := range w.sides {
		s.Close()
	}
}
