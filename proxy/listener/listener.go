package listener

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/socket"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Set is all listeners of a proxy. Configurations are swapped in while
// connections go on: a connection keeps the one that it began with.
type Set struct {
	deps Deps
	ids  atomic.Uint64
	// limited counts the connections that MaxConnections bounds.
	limited atomic.Int64

	// table is what connections are looked up in; immutable and swapped.
	table atomic.Pointer[table]

	mu    sync.Mutex
	bound map[socket.Address]*open // guarded by mu
	// retired are entries that were replaced and still have connections; guarded
	// by mu.
	retired []*entry
	conns   sync.WaitGroup
}

// Deps are what listeners need of their surroundings.
type Deps struct {
	// Bind says where a listener's address is bound, and whether at all; nil
	// binds it as it is, as Unix sockets are always.
	Bind func(netip.AddrPort) (netip.AddrPort, bool)
	// Listen opens a socket; nil is [socket.Open].
	Listen func(socket.Address) (net.Listener, error)
	// Original asks where a redirected connection wanted to go; nil, or false,
	// is where it was accepted.
	Original func(net.Conn) (netip.AddrPort, bool)
	// MaxConnections is how many connections all listeners together may have open;
	// further ones are closed at once. 0 is no limit.
	MaxConnections int64
	// Pause reports whether no connection is to be accepted, Reject whether one that
	// was is to be closed; nil is never. Listeners that are exempt go on.
	Pause, Reject func() bool
	// Handshake shortens the time that a handshake may take under pressure; nil does
	// not. Listeners that are exempt go on.
	Handshake *stream.Squeeze
	Log       *slog.Logger
}

// table is one generation of the listeners.
type table struct {
	byName    map[string]*entry
	byAddress map[socket.Address]*entry
}

// entry is a listener that serves.
type entry struct {
	*Config
	chains *chains
	// drain is closed when connections should end at the next good moment.
	drain  chan struct{}
	closed sync.Once
	Stats  *Stats

	mu    sync.Mutex
	conns map[*stream.Conn]net.Conn // guarded by mu
}

// Stats are a listener's counters; they outlive its changes.
type Stats struct {
	Total, Active, NoChain, HandshakeError, InspectTimeout, ProxyProtocolError, Overflow atomic.Int64
	// Length is how long connections lasted, in milliseconds.
	Length stream.Occasional
}

func (e *entry) startDrain() { e.closed.Do(func() { close(e.drain) }) }

// endParked ends the connections that wait for a next request.
func (e *entry) endParked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for facts, conn := range e.conns {
		if facts.Parking.End() {
			_ = conn.SetReadDeadline(time.Unix(1, 0)) // one that is closed already is fine
		}
	}
}

func (e *entry) add(facts *stream.Conn, conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conns == nil {
		e.conns = map[*stream.Conn]net.Conn{}
	}
	e.conns[facts] = conn
}

func (e *entry) empty() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns) == 0
}

func (e *entry) remove(facts *stream.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, facts)
}

// open is an open socket. It looks its listener up anew for each connection.
type open struct {
	net.Listener
	address socket.Address
	closed  chan struct{}
}

// Close closes it, once.
func (s *open) Close() error {
	close(s.closed)
	return s.Listener.Close()
}

// NewSet makes an empty set.
func NewSet(deps Deps) *Set {
	if deps.Bind == nil {
		deps.Bind = func(a netip.AddrPort) (netip.AddrPort, bool) { return a, true }
	}
	if deps.Listen == nil {
		deps.Listen = socket.Open
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{deps: deps, bound: map[socket.Address]*open{}}
	s.table.Store(&table{byName: map[string]*entry{}, byAddress: map[socket.Address]*entry{}})
	return s
}

// Update replaces the listeners. One whose *Config is the same pointer as before
// stays as it is; one that is new or changed serves from now on, and the
// connections of what it replaces, or of what is gone, are drained. Sockets that
// cannot be opened are reported by listener name; the others serve.
func (s *Set) Update(configs []*Config) map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.table.Load()
	next := &table{byName: map[string]*entry{}, byAddress: map[socket.Address]*entry{}}
	for _, c := range configs {
		e := old.byName[c.Name]
		if e == nil || e.Config != c {
			stats := &Stats{}
			if e != nil {
				stats = e.Stats
			}
			e = &entry{Config: c, chains: newChains(c), drain: make(chan struct{}), Stats: stats}
		}
		next.byName[c.Name] = e
		for _, a := range c.Addresses() {
			next.byAddress[a] = e
		}
	}
	failed := s.bind(next)
	s.table.Store(next)
	s.unbind(next)
	for name, e := range old.byName {
		if next.byName[name] != e {
			e.startDrain()
			s.retired = append(s.retired, e)
		}
	}
	s.retired = slices.DeleteFunc(s.retired, (*entry).empty)
	return failed
}

// bind opens the sockets that the new table needs. The caller holds mu.
func (s *Set) bind(next *table) map[string]error {
	failed := map[string]error{}
	for address, e := range next.byAddress {
		if !e.Bind || s.bound[address] != nil {
			continue
		}
		at := address
		if at.Path == "" {
			var wanted bool
			if at.AddrPort, wanted = s.deps.Bind(address.AddrPort); !wanted {
				continue
			}
		}
		l, err := s.deps.Listen(at)
		if err != nil {
			failed[e.Name] = err
			continue
		}
		sock := &open{l, address, make(chan struct{})}
		s.bound[address] = sock
		// Ends when unbind or Close closes the socket; Wait waits for it.
		s.conns.Go(func() { s.accept(sock) })
	}
	return failed
}

// unbind closes the sockets that nobody needs any more. The caller holds mu.
func (s *Set) unbind(next *table) {
	for address, sock := range s.bound {
		if e := next.byAddress[address]; e == nil || !e.Bind {
			sock.Close()
			delete(s.bound, address)
		}
	}
}

// Addresses are where a listener's socket is really bound, by listener address.
func (s *Set) Addresses() map[socket.Address]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[socket.Address]net.Addr{}
	for address, sock := range s.bound {
		found[address] = sock.Addr()
	}
	return found
}

// StatsOf are the counters of all listeners by name.
func (s *Set) StatsOf() map[string]*Stats {
	found := map[string]*Stats{}
	for name, e := range s.table.Load().byName {
		found[name] = e.Stats
	}
	return found
}

// pauseTime is how long a pause lasts before it is asked about again.
const pauseTime = 50 * time.Millisecond

// exempt reports whether the listener at an address goes on under pressure.
func (s *Set) exempt(address socket.Address) bool {
	e := s.table.Load().byAddress[address]
	return e == nil || e.Exempt
}

func (s *Set) accept(sock *open) {
	for {
		conn, err := sock.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: wait for some to come back.
			s.deps.Log.Warn("accept", "address", sock.address, "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for s.deps.Pause != nil && s.deps.Pause() && !s.exempt(sock.address) {
			select { // others wait in the socket's queue, this one here
			case <-time.After(pauseTime):
			case <-sock.closed:
				conn.Close()
				return
			}
		}
		if s.deps.Reject != nil && s.deps.Reject() && !s.exempt(sock.address) {
			conn.Close()
			continue
		}
		s.conns.Go(func() { s.serve(conn, sock.address, netip.AddrPort{}) })
	}
}

// Handover serves a connection that somebody else accepted, as if it had come to
// the listener at address with the given original destination.
func (s *Set) Handover(conn net.Conn, address, original netip.AddrPort) {
	s.conns.Go(func() { s.serve(conn, socket.Address{AddrPort: address}, original) })
}

// Drain asks the connections of some listeners to end at the next good moment,
// which for those that wait for a request is now, and those that come from now
// on to carry one request only. Sockets stay open.
func (s *Set) Drain(which func(*Config) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.AppendSeq(slices.Clone(s.retired), maps.Values(s.table.Load().byName)) {
		if which == nil || which(e.Config) {
			e.startDrain()
			e.endParked()
		}
	}
}

// Wake has all connections look at their timeouts anew, which have changed.
func (s *Set) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.AppendSeq(slices.Clone(s.retired), maps.Values(s.table.Load().byName)) {
		e.mu.Lock()
		for facts := range e.conns {
			facts.Wake()
		}
		e.mu.Unlock()
	}
}

// Close closes the sockets. Connections go on.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, sock := range s.bound {
		sock.Close()
		delete(s.bound, address)
	}
}

// Active is the number of connections that are served.
func (s *Set) Active() int64 {
	var n int64
	for _, e := range s.table.Load().byName {
		n += e.Stats.Active.Load()
	}
	return n
}

// serve finds the listener and the chain for a connection and lets the chain's
// handler have it.
func (s *Set) serve(conn net.Conn, address socket.Address, original netip.AddrPort) {
	t := s.table.Load()
	e := t.byAddress[address]
	if e == nil {
		conn.Close()
		return
	}
	facts := &stream.Conn{ID: s.ids.Add(1), Local: addrPort(conn.LocalAddr()), Remote: addrPort(conn.RemoteAddr()), Path: address.Path, Start: time.Now()}
	facts.Original = facts.Local
	if original.IsValid() {
		facts.Original = original
	} else if e.UseOriginalDst && s.deps.Original != nil {
		if dst, ok := s.deps.Original(conn); ok {
			facts.Original = dst
		}
	}
	if e.UseOriginalDst {
		e = t.forDestination(e, facts.Original)
	}
	if !e.Unlimited && s.deps.MaxConnections > 0 {
		defer s.limited.Add(-1)
		if s.limited.Add(1) > s.deps.MaxConnections {
			e.Stats.Overflow.Add(1)
			conn.Close()
			return
		}
	}
	facts.Listener, facts.Described = e.Name, &e.Metadata
	e.Stats.Total.Add(1)
	e.Stats.Active.Add(1)
	defer func() {
		e.Stats.Active.Add(-1)
		e.Stats.Length.Observe(stream.Milliseconds(time.Since(facts.Start)))
	}()
	e.add(facts, conn)
	defer e.remove(facts)
	s.chain(e, conn, facts)
}

// forDestination is the listener that serves what wanted to go to dst: its very
// address, else the wildcard address of its port, else the one that took it.
func (t *table) forDestination(took *entry, dst netip.AddrPort) *entry {
	if e := t.byAddress[socket.Address{AddrPort: dst}]; e != nil { // maybe the one that took it
		return e
	}
	wild := netip.IPv4Unspecified()
	if dst.Addr().Is6() {
		wild = netip.IPv6Unspecified()
	}
	if e := t.byAddress[socket.Address{AddrPort: netip.AddrPortFrom(wild, dst.Port())}]; e != nil && e != took && !e.UseOriginalDst {
		return e
	}
	return took
}

// chain inspects the connection, picks its filter chain, ends TLS and serves.
func (s *Set) chain(e *entry, conn net.Conn, facts *stream.Conn) {
	port := facts.Original.Port()
	if p := e.ProxyProtocol; p != nil && p.When(port) {
		var err error
		if conn, err = p.read(conn, facts, e.InspectTimeout); err != nil {
			e.Stats.ProxyProtocolError.Add(1)
			s.deps.Log.Debug("PROXY header", "listener", e.Name, "peer", facts.Remote, "error", err)
			conn.Close()
			return
		}
	}
	seen := sniffed{transport: "raw_buffer"}
	wantTLS := e.InspectTLS != nil && e.InspectTLS(port)
	wantHTTP := e.InspectHTTP != nil && e.InspectHTTP(port)
	if wantTLS || wantHTTP {
		var err error
		if conn, seen, err = inspect(conn, wantTLS, wantHTTP, e.InspectTimeout, e.ContinueOnTimeout); err != nil {
			e.Stats.InspectTimeout.Add(1)
			conn.Close()
			return
		}
		e.fingerprint(facts, seen.hello)
		seen.hello = nil
	}
	c := e.chains.pick(facts, seen)
	if c == nil {
		e.Stats.NoChain.Add(1)
		if e.Refused != nil {
			e.Refused(facts, nil)
		}
		conn.Close()
		return
	}
	facts.Chain, facts.ChainDescribed = c.Name, &c.Metadata
	if c.TLS == nil {
		facts.SNI = seen.serverName
		c.Handler.Serve(conn, facts, e.drain)
		return
	}
	squeeze := s.deps.Handshake
	if e.Exempt {
		squeeze = nil
	}
	secured, err := handshake(conn, c, facts, squeeze)
	if err != nil {
		e.Stats.HandshakeError.Add(1)
		s.deps.Log.Debug("handshake failed", "listener", e.Name, "peer", facts.Remote, "error", err)
		if e.Refused != nil {
			e.Refused(facts, err)
		}
		conn.Close()
		return
	}
	c.Handler.Serve(secured, facts, e.drain)
}

// fingerprint notes what is asked of a client's fingerprint.
func (e *entry) fingerprint(facts *stream.Conn, hello []byte) {
	if hello == nil || !e.JA3 && !e.JA4 {
		return
	}
	f := fingerprintOf(hello)
	if e.JA3 {
		facts.JA3 = f.ja3()
	}
	if e.JA4 {
		facts.JA4 = f.ja4()
	}
}

func handshake(conn net.Conn, c *Chain, facts *stream.Conn, squeeze *stream.Squeeze) (net.Conn, error) {
	timeout := cmp.Or(c.HandshakeTimeout, 15*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if squeeze != nil {
		start := time.Now()
		late := time.AfterFunc(squeeze.Of(timeout), cancel)
		defer late.Stop()
		facts.OnWake(func() { late.Reset(max(0, squeeze.Of(timeout)-time.Since(start))) })
		defer facts.OnWake(nil)
	}
	var shown *x509.Certificate
	secured := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		config, err := c.TLS.Config(hello)
		if err == nil {
			shown = chosen(config.Certificates, hello)
		}
		return config, err
	}})
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	facts.TLS = tlsFacts(secured.ConnectionState(), shown)
	return secured, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return plain(tcp)
	}
	return netip.AddrPort{}
}
