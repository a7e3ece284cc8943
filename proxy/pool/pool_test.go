package pool

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
)

// pooled is a pool before an endpoint that keeps the connections that it gets.
func pooled(t *testing.T, cfg Config) (*Pool, func() net.Conn) {
	n := memnet.New()
	l, err := n.Listen("10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	p := New("tcp", "10.0.0.1:80", &cfg, nil, n.Dial, nil)
	t.Cleanup(func() {
		p.Shut()
		l.Close()
	})
	return p, func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func connect(t *testing.T, p *Pool) *Conn {
	t.Helper()
	c, err := p.Connect(context.Background(), TLSRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLastUsedIsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{})
		a, b := connect(t, p), connect(t, p)
		p.Put(a)
		p.Put(b)
		if got := p.Idle(TLSRequest{}, time.Now()); got != b || got.Fresh {
			t.Error("got another connection than the last one used")
		}
		if got := p.Idle(TLSRequest{SNI: "x"}, time.Now()); got != nil {
			t.Error("got a connection for another name")
		}
		if p.Open() != 2 {
			t.Errorf("%d open", p.Open())
		}
		p.Close(b)
	})
}

// What the endpoint has ended, or has spoken out of turn on, is not used again.
func TestStaleConnectionsAreNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, accept := pooled(t, Config{})
		c := connect(t, p)
		far := accept()
		p.Put(c)
		far.Close()
		time.Sleep(time.Second) // mesh time
		if got := p.Idle(TLSRequest{}, time.Now()); got != nil || p.Open() != 0 {
			t.Errorf("got %v, %d open", got, p.Open())
		}
	})
}

func TestIdleConnectionsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, accept := pooled(t, Config{IdleTimeout: time.Minute})
		ended, kept := connect(t, p), connect(t, p)
		far := accept()
		accept()
		p.Put(ended)
		p.Put(kept)
		far.Close()
		time.Sleep(sweepEvery + time.Second) // mesh time
		if p.Open() != 1 {
			t.Errorf("%d open behind the first look; want the one that lives", p.Open())
		}
		time.Sleep(time.Minute + sweepEvery)
		if p.Open() != 0 {
			t.Errorf("%d open behind the idle timeout", p.Open())
		}
	})
}

func TestWornConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{MaxRequests: 2, MaxDuration: time.Minute})
		c := connect(t, p)
		p.Put(c)
		if c = p.Idle(TLSRequest{}, time.Now()); c == nil {
			t.Fatal("not kept")
		}
		if p.Put(c); p.Open() != 0 {
			t.Error("kept behind its last request")
		}
		p.Put(connect(t, p))
		time.Sleep(2 * time.Minute)
		if got := p.Idle(TLSRequest{}, time.Now()); got != nil {
			t.Error("kept behind its time")
		}
	})
}

func TestWaitingIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{})
		if c, again := p.Wait(TLSRequest{}, time.Time{}, nil); c != nil || !again {
			t.Errorf("waited for nothing: got %v, %v", c, again)
		}
		c := connect(t, p)
		order := make(chan int, 3)
		for i := range 2 {
			go func() {
				got, _ := p.Wait(TLSRequest{}, time.Time{}, nil)
				order <- i
				time.Sleep(time.Second)
				p.Put(got)
			}()
			synctest.Wait()
		}
		start := time.Now()
		if _, inTime := p.Wait(TLSRequest{}, start.Add(3*time.Second), nil); inTime || time.Since(start) != 3*time.Second {
			t.Errorf("in time %v after %v", inTime, time.Since(start))
		}
		p.Put(c)
		if first, second := <-order, <-order; first != 0 || second != 1 {
			t.Errorf("served %d, then %d", first, second)
		}
		time.Sleep(2 * time.Second)
		if p.Open() != 1 {
			t.Errorf("%d open", p.Open())
		}
		// A connection that fits nobody makes room.
		done := make(chan bool)
		go func() {
			got, again := p.Wait(TLSRequest{SNI: "x"}, time.Time{}, nil)
			done <- got == nil && again
		}()
		if !<-done || p.Open() != 0 {
			t.Errorf("%d open", p.Open())
		}
	})
}

// Who waits at a pool that is shut is told when a connection has ended, and not before.
func TestWaitingAtAPoolThatIsShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{})
		c := connect(t, p)
		p.Shut()
		start := time.Now()
		time.AfterFunc(time.Minute, func() { p.Put(c) })
		if got, again := p.Wait(TLSRequest{}, time.Time{}, nil); got != nil || !again || time.Since(start) != time.Minute || p.Open() != 0 {
			t.Errorf("got %v, %v after %v", got, again, time.Since(start))
		}
	})
}

// A place that comes free for one whose time is over at that moment is the next one's.
func TestPlacesAreNotLost(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p, _ := pooled(t, Config{})
			c := connect(t, p)
			time.AfterFunc(time.Second, func() { p.Close(c) })
			go p.Wait(TLSRequest{}, time.Now().Add(time.Second), nil)
			synctest.Wait()
			p.Wait(TLSRequest{}, time.Time{}, nil) // for ever, if nobody tells
		})
	}
}

// carried is a connection for several requests.
type carried struct{ shut chan struct{} }

func newCarried() *carried { return &carried{make(chan struct{})} }

func (*carried) Reserve() bool { return true }
func (*carried) Release()      {}
func (*carried) Usable() bool  { return true }
func (c *carried) Shut()       { close(c.shut) }
func (c *carried) Run()        { <-c.shut }

// Connections of before a renewal end with what they are used for; later ones are
// kept.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pooled(t, Config{})
		idle, used, shared, late := connect(t, p), connect(t, p), connect(t, p), connect(t, p)
		p.Put(idle)
		p.Carry(shared, newCarried())
		p.Renew()
		p.Carry(late, newCarried())
		p.Put(used)
		synctest.Wait()
		if p.Open() != 0 || p.Idle(TLSRequest{}, time.Now()) != nil || p.Place(TLSRequest{}) != nil {
			t.Errorf("%d of before are open", p.Open())
		}
		own, next := connect(t, p), connect(t, p)
		p.Put(own)
		p.Carry(next, newCarried())
		if p.Place(TLSRequest{}) != next || p.Idle(TLSRequest{}, time.Now()) != own {
			t.Error("those of afterwards are not used again")
		}
		p.Close(own)
		p.Drain()
		if p.Open() != 0 {
			t.Errorf("%d open at the end", p.Open())
		}
	})
}

// Over real sockets the look at an idle connection sees its end, and its data.
func TestAliveOverSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pair := func() (net.Conn, net.Conn) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); far.Close() })
		return c, far
	}
	quietOne, _ := pair()
	if !alive(quietOne) {
		t.Error("a quiet connection counts as ended")
	}
	spoken, far := pair()
	_, _ = io.WriteString(far, "x")
	ended, gone := pair()
	gone.Close()
	for deadline := time.Now().Add(5 * time.Second); (alive(spoken) || alive(ended)) && time.Now().Before(deadline); {
	}
	if alive(spoken) || alive(ended) {
		t.Error("an ended connection, or one with bytes nobody asked for, counts as alive")
	}
}

// An endpoint is dialed from the address of its family, else from the first.
func TestSources(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.6"), netip.MustParseAddr("::6")
	for _, c := range []struct {
		sources        []netip.Addr
		endpoint, want string
	}{
		{nil, "10.0.0.1:80", "<nil>"},
		{[]netip.Addr{v4, v6}, "10.0.0.1:80", "127.0.0.6:0"},
		{[]netip.Addr{v4, v6}, "[fd00::1]:80", "[::6]:0"},
		{[]netip.Addr{v6}, "10.0.0.1:80", "[::6]:0"},
		{[]netip.Addr{v4, v6}, "/a/socket", "<nil>"},
	} {
		cfg := Config{Sources: c.sources}
		if got := fmt.Sprint(cfg.source(c.endpoint)); got != c.want {
			t.Errorf("%s from %v: got %s, want %s", c.endpoint, c.sources, got, c.want)
		}
	}
}
