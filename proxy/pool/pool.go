package pool

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Dial opens a connection. source is the zero value unless the settings name a
// local address. Explicit mode and tests give one of their own.
type Dial func(ctx context.Context, network, address string, source net.Addr) (net.Conn, error)

// NetDial dials by the operating system.
func NetDial(ctx context.Context, network, address string, source net.Addr) (net.Conn, error) {
	d := net.Dialer{LocalAddr: source, KeepAlive: -1}
	return d.DialContext(ctx, network, address)
}

// Conn is a connection to the endpoint, owned by whoever got it.
type Conn struct {
	net.Conn
	// Codec is what speaks on the connection; the pool only keeps it.
	Codec any
	// ID tells connections apart in logs.
	ID uint64
	// Fresh is true for a connection that has not carried a request.
	Fresh bool
	// TLS is the state after the handshake, nil in plain text.
	TLS *tls.ConnectionState
	// State is what was left for it in logs by whom opened it; nil is nothing.
	State map[string]string
	// Shown is the certificate for servers that ask for one, nil for none.
	Shown *x509.Certificate

	key        key
	generation uint64 // of the pool when it was dialled
	created    time.Time
	idle       time.Time // since when
	uses       uint32
}

// key tells apart connections that one request may use and another may not.
type key struct {
	sni, alpn, verify string
	shared            bool
	ends              Ends // only where they are told
}

// Pool keeps the connections to one endpoint.
type Pool struct {
	network, address string
	cfg              *Config
	tls              TLS      // nil: plain text
	proxied          *Proxied // nil: no PROXY header
	dial             Dial
	onClose          func(*Conn) // told of every connection that ends, nil for one that fails to open; may be nil

	mu     sync.Mutex
	idle   []*Conn // guarded by mu; the last one was used last
	closed bool    // guarded by mu
	// generation counts renewals: connections of an earlier one are not kept. It
	// changes with mu held.
	generation atomic.Uint64
	waiters    []*waiter   // guarded by mu; the first one has waited longest
	sweeper    *time.Timer // guarded by mu; nil before the first idle connection
	sweeping   bool        // guarded by mu
	// shared are the connections that carry several requests at once, the oldest
	// one first; opening those that are being opened; turn is closed when a place
	// has come free. All are guarded by mu.
	shared  []*Conn
	opening map[key]*opening
	turn    chan struct{}

	open     atomic.Int64
	alone    atomic.Bool
	carrying sync.WaitGroup // who carries the shared connections
}

// New makes a pool for the endpoint at address. It opens nothing, and cfg must not
// change. closed, which may be nil, is called for every connection that ends, and with
// nil for one that fails to open.
func New(network, address string, cfg *Config, t TLS, dial Dial, closed func(*Conn)) *Pool {
	p := &Pool{network: network, address: address, cfg: cfg, tls: t, dial: dial, onClose: closed}
	if proxied, ok := t.(*Proxied); ok {
		p.tls, p.proxied = proxied.TLS, proxied
	}
	return p
}

// connections numbers them.
var connections atomic.Uint64

// defaultTimeout is how long a connection may take to open where nothing is
// written, as Envoy has it.
const defaultTimeout = 5 * time.Second

// Open is the number of connections that exist or are being opened.
func (p *Pool) Open() int64 { return p.open.Load() }

// quiet is how long a connection may have been idle before it is looked at for
// an end that nobody has noticed.
const quiet = 20 * time.Millisecond

// Idle gives an idle connection that fits the request, nil when there is none.
// now is the caller's clock reading.
func (p *Pool) Idle(req TLSRequest, now time.Time) *Conn {
	for {
		c := p.pop(p.keyOf(&req))
		if c == nil {
			return nil
		}
		since := now.Sub(c.idle)
		if p.worn(c, since, now) || since > quiet && !alive(c.Conn) {
			p.Close(c)
			continue
		}
		c.Fresh = false
		return c
	}
}

func (p *Pool) keyOf(req *TLSRequest) key {
	k := key{sni: req.SNI, verify: req.VerifyName, shared: req.Shared}
	if p.proxied != nil {
		k.ends = p.proxied.told(req.Ends)
	}
	switch len(req.ALPN) {
	case 0:
	case 1:
		k.alpn = req.ALPN[0]
	default:
		k.alpn = strings.Join(req.ALPN, ",")
	}
	return k
}

// DropIdle closes the connection that has been idle longest, and reports whether
// there was one: room for one that fits when no more may be opened.
func (p *Pool) DropIdle() bool {
	p.mu.Lock()
	if len(p.idle) == 0 {
		p.mu.Unlock()
		return false
	}
	c := p.idle[0]
	p.idle = slices.Delete(p.idle, 0, 1)
	p.mu.Unlock()
	p.Close(c)
	return true
}

func (p *Pool) pop(k key) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if c := p.idle[i]; c.key == k {
			p.idle = slices.Delete(p.idle, i, i+1)
			return c
		}
	}
	return nil
}

// worn reports whether a connection has served its time.
func (p *Pool) worn(c *Conn, idle time.Duration, now time.Time) bool {
	return p.cfg.IdleTimeout > 0 && idle > p.cfg.IdleTimeout ||
		p.cfg.MaxDuration > 0 && now.Sub(c.created) > p.cfg.MaxDuration
}

// Reserve counts a connection before it is opened.
func (p *Pool) Reserve() { p.open.Add(1) }

// Connect opens a new connection, with its handshake. It is bounded by the
// settings' connect timeout and by ctx.
func (p *Pool) Connect(ctx context.Context, req TLSRequest) (*Conn, error) {
	p.Reserve()
	return p.ConnectReserved(ctx, req)
}

// ConnectReserved opens a connection that has been counted.
func (p *Pool) ConnectReserved(ctx context.Context, req TLSRequest) (*Conn, error) {
	c, err := p.connect(ctx, req)
	if err != nil {
		p.ended(nil)
	}
	return c, err
}

func (p *Pool) connect(ctx context.Context, req TLSRequest) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.cfg.ConnectTimeout, defaultTimeout))
	defer cancel()
	generation := p.generation.Load()
	raw, err := p.dial(ctx, p.network, p.address, p.cfg.source(p.address))
	if err != nil {
		return nil, err
	}
	p.keepalive(raw)
	c := &Conn{Conn: raw, ID: connections.Add(1), Fresh: true, key: p.keyOf(&req), generation: generation, created: time.Now()}
	if p.proxied != nil {
		if err := p.introduce(ctx, raw, req.Ends); err != nil {
			raw.Close()
			return nil, err
		}
	}
	if p.tls != nil {
		if err := c.handshake(ctx, p.tls, req); err != nil {
			raw.Close()
			return nil, err
		}
		if p.cfg.Agreed != nil && c.TLS.NegotiatedProtocol != "" {
			c.Conn = p.cfg.Agreed(c.TLS.NegotiatedProtocol, c.Conn)
		}
	}
	return c, nil
}

// introduce writes the PROXY header.
func (p *Pool) introduce(ctx context.Context, conn net.Conn, ends Ends) error {
	if deadline, set := ctx.Deadline(); set {
		if err := conn.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	if err := p.proxied.Introduce(conn, ends); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

func (p *Pool) keepalive(conn net.Conn) {
	if k := p.cfg.Keepalive; k.Enabled {
		if t, ok := conn.(*net.TCPConn); ok {
			// A socket that refuses works without.
			_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: k.Idle, Interval: k.Interval, Count: k.Probes})
		}
	}
}

// A HandshakeError is a failure of TLS, as opposed to one to connect.
type HandshakeError struct{ Err error }

// Error says so in Envoy's words.
func (e *HandshakeError) Error() string { return "TLS_error: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

func (c *Conn) handshake(ctx context.Context, t TLS, req TLSRequest) error {
	config, err := t.Config(req)
	if err != nil {
		return &HandshakeError{err}
	}
	secured := tls.Client(c.Conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return &HandshakeError{err}
	}
	state := secured.ConnectionState()
	c.Conn, c.TLS = secured, &state
	if len(config.Certificates) > 0 {
		c.Shown = config.Certificates[0].Leaf
	}
	return nil
}

// Put gives a connection back for the next request, or closes it when it has
// served its time.
func (p *Pool) Put(c *Conn) {
	c.uses++
	if p.cfg.MaxRequests > 0 && c.uses >= p.cfg.MaxRequests {
		p.Close(c)
		return
	}
	c.idle = time.Now()
	p.mu.Lock()
	if p.outdated(c) {
		p.mu.Unlock()
		p.Close(c)
		return
	}
	if len(p.waiters) > 0 && p.handOver(c) {
		p.mu.Unlock()
		return
	}
	p.idle = append(p.idle, c)
	p.armSweep()
	p.mu.Unlock()
}

// outdated reports whether a connection may only end what it does. The caller holds
// mu.
func (p *Pool) outdated(c *Conn) bool { return p.closed || c.generation != p.generation.Load() }

// Age is how long ago the connection was opened.
func (c *Conn) Age() time.Duration { return time.Since(c.created) }

// Close ends a connection that was got from the pool.
func (p *Pool) Close(c *Conn) {
	c.Conn.Close()
	p.ended(c)
}

// ended counts a connection no more.
func (p *Pool) ended(c *Conn) {
	p.open.Add(-1)
	if p.onClose != nil {
		p.onClose(c)
	}
	p.mu.Lock()
	p.wakeOne()
	p.turnOver()
	p.mu.Unlock()
}

// Shut closes the idle connections, and those in use when they come back or
// when their last request is over.
func (p *Pool) Shut() {
	p.mu.Lock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	p.mu.Unlock()
	p.Renew()
}

// Renew does so with the connections that there are or that are being opened now;
// later ones are kept.
func (p *Pool) Renew() {
	p.mu.Lock()
	p.generation.Add(1)
	idle, shared := p.idle, p.shared
	p.idle, p.shared = nil, nil
	p.mu.Unlock()
	for _, c := range idle {
		p.Close(c)
	}
	for _, c := range shared {
		c.Codec.(Carrier).Shut()
	}
}

// Drain shuts the pool and waits until the shared connections have ended. Nobody may
// open others meanwhile.
func (p *Pool) Drain() {
	p.Shut()
	p.carrying.Wait()
}

// String names the endpoint.
func (p *Pool) String() string { return fmt.Sprintf("%s:%s", p.network, p.address) }
