package http1

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// A tunnel ends when nothing has moved in it for too long, either way. A client that
// has only ended its own direction stays.
func TestIdleTunnelsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		use  func(client, upstream *memnet.Conn)
		took time.Duration
	}{
		"nothing moves":   {func(_, _ *memnet.Conn) {}, 10 * time.Second},
		"upwards":         {func(client, _ *memnet.Conn) { every(8*time.Second, client) }, 34 * time.Second},
		"downwards":       {func(_, upstream *memnet.Conn) { every(8*time.Second, upstream) }, 34 * time.Second},
		"half has ended":  {func(client, _ *memnet.Conn) { time.Sleep(4 * time.Second); _ = client.CloseWrite() }, 14 * time.Second},
		"both have ended": {func(client, upstream *memnet.Conn) { _ = client.CloseWrite(); _ = upstream.CloseWrite() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe(clientAddress, serverAddress)
				conn, seen, _ := serve(t, Config{StreamIdleTimeout: 10 * time.Second}, func(req *stream.Request) (*stream.Response, error) {
					return &stream.Response{Status: 101, Upgrade: req.Upgrade, Upgraded: near}, nil
				})
				start := time.Now()
				_, _ = io.WriteString(conn, crlf("GET / HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket\n\n"))
				go tc.use(conn, far)
				ended := make(chan struct{})
				go func() { defer close(ended); _, _ = io.ReadAll(far) }()
				_, _ = io.ReadAll(conn)
				<-ended
				synctest.Wait()
				took, noted := time.Since(start), seen.infos[0]
				if took < tc.took || took > tc.took+2*lastLook {
					t.Errorf("ended after %v; want %v", took, tc.took)
				}
				if idle := noted.Flags == stream.StreamIdleTimeout && noted.Details == "stream_idle_timeout"; idle != (tc.took > 0) || noted.Status != 101 {
					t.Errorf("noted %d %v %s", noted.Status, noted.Flags, noted.Details)
				}
			})
		})
	}
}

// every writes a byte three times.
func every(d time.Duration, conn *memnet.Conn) {
	for range 3 {
		time.Sleep(d)
		_, _ = conn.Write([]byte("x"))
	}
}
