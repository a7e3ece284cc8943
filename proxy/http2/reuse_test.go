package http2

import (
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A connection knows nothing more of a stream that is over, which may live again on
// another one: it does not wait for room any more.
func TestStreamsThatAreOverWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, answering(&framer, func(*oracle.Framer, uint32) {}))
		e := &Exchange{}
		e.owner, e.client = e, c
		c.mu.Lock()
		e.open(c.conn, 1)
		e.blocked, c.blocked = true, append(c.blocked, &e.transfer)
		c.remove(&e.transfer)
		left := len(c.blocked)
		c.mu.Unlock()
		if left > 0 || e.blocked {
			t.Error("a stream that is over still waits for room")
		}
	})
}

// A deadline that falls as its exchange ends does not reach into the next exchange that
// is made in the same memory, on whatever connection (for the race detector).
func TestDeadlineAtTheEnd(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			clients := [2]*Client{}
			for i := range clients {
				clients[i] = connected(t, Config{}, ours(Config{}, func(*stream.Request) (*stream.Response, error) {
					time.Sleep(time.Second)
					return &stream.Response{Status: 200}, nil
				}))
			}
			for i := range 20 {
				_, _, _ = send(t, clients[i%2], &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Now().Add(time.Second))
			}
		})
	}
}

// A request's record is its handler's: who reads the connection does not look at it,
// not even when the client resets the stream (for the race detector).
func TestRecordsAreTheHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
			time.Sleep(time.Second)
			*req.Info = stream.Info{Start: time.Now()}
			return nil, req.GivenUp()
		})
		r := newRaw(t, conn)
		r.headers(1, true, get...)
		time.Sleep(time.Second)
		r.must(r.framer.WriteRSTStream(1, oracle.ErrCodeCancel))
		synctest.Wait()
	})
}
