package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// story keeps what the observer was told.
type story struct {
	opened, closed int
	received, sent atomic.Int64
	info           stream.Info
	conn           *stream.Conn
}

func (*story) Request(*stream.Request, *stream.Response) {}
func (s *story) Opened(*stream.TCP)                      { s.opened++ }
func (s *story) Progress(_ *stream.TCP, received, sent int64) {
	s.received.Add(received)
	s.sent.Add(sent)
}
func (s *story) Closed(t *stream.TCP) { s.closed, s.info, s.conn = s.closed+1, *t.Info, t.Conn }

// through serves one connection by a proxy in front of the endpoints, and gives
// the client's end and a channel that is closed when it is over.
func through(t testing.TB, cfg Config, dial pool.Dial, endpoints ...string) (*memnet.Conn, *story, chan struct{}) {
	var eps []cluster.Endpoint
	for _, e := range endpoints {
		eps = append(eps, cluster.Endpoint{Address: netip.MustParseAddrPort(e)})
	}
	h := cluster.NewHandle("up")
	h.Store(cluster.New(&cluster.Config{Name: "up", Endpoints: eps, Pool: pool.Config{ConnectTimeout: 2 * time.Second}}, cluster.Deps{Dial: dial}))
	s := &story{}
	cfg.Observer = s
	if cfg.Clusters == nil {
		cfg.Clusters = []Weighted{{Cluster: h}}
	}
	near, far := memnet.Pipe(netip.MustParseAddrPort("10.0.0.9:1"), netip.MustParseAddrPort("10.0.0.8:9000"))
	over := make(chan struct{})
	go func() {
		defer close(over)
		New(cfg).Serve(far, &stream.Conn{Start: time.Now(), Remote: netip.MustParseAddrPort("10.0.0.9:1")}, nil)
	}()
	return near, s, over
}

func serve(t testing.TB, n *memnet.Net, address string, f func(net.Conn)) {
	l, err := n.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accept.Each(l, f)
}

// A client that has said everything still hears the answer.
func TestHalfCloseIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		serve(t, n, "10.0.0.1:9000", func(c net.Conn) {
			all, _ := io.ReadAll(c)
			_, _ = io.WriteString(c, "got "+string(all))
			c.Close()
		})
		conn, s, over := through(t, Config{}, n.Dial, "10.0.0.1:9000")
		_, _ = io.WriteString(conn, "hello")
		_ = conn.CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != "got hello" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		<-over
		if s.opened != 1 || s.closed != 1 || s.received.Load() != 5 || s.sent.Load() != 9 || s.info.BytesReceived != 5 || s.info.BytesSent != 9 || s.info.Flags != 0 {
			t.Errorf("noted %+v, %d, %d", s.info, s.received.Load(), s.sent.Load())
		}
	})
}

func TestFailuresAreFlagged(t *testing.T) {
	for name, tc := range map[string]struct {
		endpoints []string
		clusters  []Weighted
		flags     string
		took      time.Duration
	}{
		"refused":     {[]string{"10.0.0.1:1"}, nil, "UF", 0},
		"silent":      {[]string{"10.0.0.2:1"}, nil, "UF", 2 * time.Second},
		"no endpoint": {nil, nil, "UH", 0},
		"no cluster":  {nil, []Weighted{{Cluster: cluster.NewHandle("none")}}, "NC", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			n.Lose("10.0.0.2:1")
			start := time.Now()
			conn, s, over := through(t, Config{Clusters: tc.clusters}, n.Dial, tc.endpoints...)
			got, _ := io.ReadAll(conn)
			<-over
			if len(got) != 0 || s.info.Flags.String() != tc.flags || time.Since(start) != tc.took || s.closed != 1 {
				t.Errorf("%s: got %q, %v after %v", name, got, s.info.Flags, time.Since(start))
			}
		})
	}
}

// Connections that come at once do not pass the endpoint's limit together.
func TestConnectionsPerEndpoint(t *testing.T) {
	var open, most atomic.Int32
	over := errors.New("nobody there")
	dial := func(context.Context, string, string, net.Addr) (net.Conn, error) {
		defer open.Add(-1)
		if now := open.Add(1); now > most.Load() {
			most.Store(now)
		}
		runtime.Gosched() // so that others may try meanwhile
		return nil, over
	}
	h := cluster.NewHandle("up")
	h.Store(cluster.New(&cluster.Config{PerHost: 1, Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.1:1")}}}, cluster.Deps{Dial: dial}))
	p := New(Config{Clusters: []Weighted{{Cluster: h}}})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 200 {
				near, far := memnet.Pipe(netip.MustParseAddrPort("10.0.0.9:1"), netip.MustParseAddrPort("10.0.0.8:9000"))
				p.Serve(far, &stream.Conn{Start: time.Now()}, nil)
				near.Close()
			}
		})
	}
	all.Wait()
	if most.Load() != 1 || h.Load().Stats.CxActive.Load() != 0 {
		t.Errorf("%d at once; want one. %d at the end", most.Load(), h.Load().Stats.CxActive.Load())
	}
}

func TestAnotherEndpointIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		serve(t, n, "10.0.0.1:9000", func(c net.Conn) { _, _ = io.WriteString(c, "hello"); c.Close() })
		conn, s, over := through(t, Config{ConnectAttempts: 4}, n.Dial, "10.0.0.1:9000", "10.0.0.3:9000")
		_ = conn.CloseWrite()
		if got, _ := io.ReadAll(conn); string(got) != "hello" {
			t.Errorf("got %q", got)
		}
		<-over
		if s.info.Flags != 0 || s.info.Upstream.String() != "10.0.0.1:9000" {
			t.Errorf("noted %v to %v", s.info.Flags, s.info.Upstream)
		}
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		serve(t, n, "10.0.0.1:9000", func(c net.Conn) { _, _ = io.Copy(c, c); c.Close() })
		conn, s, over := through(t, Config{IdleTimeout: 10 * time.Second}, n.Dial, "10.0.0.1:9000")
		start := time.Now()
		for range 3 {
			time.Sleep(6 * time.Second) // mesh time
			_, _ = io.WriteString(conn, "x")
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		<-over
		if took := time.Since(start); took != 28*time.Second || s.info.Details != "idle_timeout" {
			t.Errorf("ended after %v, noted %q; want 10s behind the last byte", took, s.info.Details)
		}
	})
}

// Large transfers take the kernel's path; both ends must see every byte.
func TestLargeTransfersOverSockets(t *testing.T) {
	const size = 20 << 20
	listen := func(f func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		accept.Each(l, f)
		return l.Addr().String()
	}
	up := listen(func(c net.Conn) { _, _ = io.Copy(c, c); c.Close() })
	h := cluster.NewHandle("up")
	h.Store(cluster.New(&cluster.Config{Endpoints: []cluster.Endpoint{{Address: netip.MustParseAddrPort(up)}}}, cluster.Deps{}))
	over := make(chan struct{})
	p := New(Config{Clusters: []Weighted{{Cluster: h}}})
	down := listen(func(c net.Conn) {
		defer close(over)
		p.Serve(c, &stream.Conn{Start: time.Now()}, nil)
	})
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", down)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, strings.NewReader(strings.Repeat("0123456789abcdef", size/16)))
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	n, err := io.Copy(io.Discard, conn)
	if n != size || err != nil {
		t.Errorf("got %d bytes, %v; want %d", n, err, size)
	}
	<-over
}

// tcpPair is a connection over a loopback socket.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// looked is a connection whose first bytes a listener has looked at.
type looked struct{ net.Conn }

func (l looked) Beneath() net.Conn { return l.Conn }

// What the kernel moves is counted soon, however little it is: a slow connection is
// not an idle one.
func TestSplicedBytesAreCountedInTime(t *testing.T) {
	client, down := tcpPair(t)
	up, server := tcpPair(t)
	told := make(chan int64, 1000)
	idle := &watch{limit: 80 * time.Millisecond, sides: [2]io.Closer{down, up}}
	count := &counter{tell: func(n int64) { told <- n }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyHalf(up, looked{down}, idle, count)
	}()
	go io.Copy(io.Discard, server)
	var sum int64
	send := func(n int) {
		t.Helper()
		if _, err := client.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		for want := sum + int64(n); sum < want; {
			sum += <-told // for ever, if nobody tells
		}
	}
	send(2 * spliceAfter)
	idle.last.Store(0)
	for range 3 {
		send(1)
	}
	if idle.last.Load() == 0 {
		t.Error("bytes were moved and nobody noted it")
	}
	client.Close()
	<-done
	if count.total != 2*spliceAfter+3 {
		t.Errorf("counted %d", count.total)
	}
}

// Of two times that are over at the same moment, one is told of (for the race detector),
// and one that comes with the end itself is not.
func TestTimesThatCoincide(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New()
			serve(t, n, "10.0.0.1:9000", func(c net.Conn) {
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			})
			for _, leaves := range []bool{false, true} {
				client, seen, over := through(t, Config{IdleTimeout: time.Second, MaxDuration: time.Second}, n.Dial, "10.0.0.1:9000")
				if leaves {
					time.Sleep(time.Second)
					client.Close()
				}
				<-over
				if d := seen.info.Details; d != "idle_timeout" && d != "max_duration_timeout" && !(leaves && d == "") {
					t.Errorf("noted %q", d)
				}
				client.Close()
			}
		})
	}
}
