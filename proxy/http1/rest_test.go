package http1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// squeezed runs a server whose timeouts are squeezed to 2 s, and gives its
// connection with what ends it as a drain does, and what presses.
func squeezed(t *testing.T, cfg Config, h handlerFunc) (conn *memnet.Conn, end func(), press func(millionths uint32)) {
	t.Helper()
	idle, streams, age := &stream.Squeeze{Least: 2 * time.Second}, &stream.Squeeze{Least: 2 * time.Second}, &stream.Squeeze{Least: 2 * time.Second}
	cfg.Squeezes = stream.Squeezes{Idle: idle, Stream: streams, Age: age}
	near, far := memnet.Pipe(clientAddress, serverAddress)
	facts := &stream.Conn{Local: serverAddress, Remote: clientAddress, Original: serverAddress, Start: time.Now()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		NewServer(cfg, h, nil).Serve(far, facts, nil)
	}()
	t.Cleanup(func() {
		near.Close()
		<-ended
	})
	end = func() {
		if facts.Parking.End() {
			_ = far.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return near, end, func(millionths uint32) {
		for _, s := range []*stream.Squeeze{idle, streams, age} {
			s.Press(millionths)
		}
		facts.Wake()
	}
}

func request(t *testing.T, conn *memnet.Conn, r *bufio.Reader) {
	t.Helper()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

// A connection that waits for a request, its first one or another, notices the
// pressure when it comes, and when it goes.
func TestPressureOnConnectionsThatWait(t *testing.T) {
	for _, requests := range []int{0, 1} {
		for name, tc := range map[string]struct {
			cfg   Config
			press func(press func(uint32))
			want  time.Duration // until the end
		}{
			"none":                        {Config{IdleTimeout: time.Minute}, func(func(uint32)) {}, time.Minute},
			"when it has waited too long": {Config{IdleTimeout: time.Minute}, func(p func(uint32)) { time.Sleep(30 * time.Second); p(1_000_000) }, 30 * time.Second},
			"when it has only begun":      {Config{IdleTimeout: time.Minute}, func(p func(uint32)) { time.Sleep(time.Second); p(1_000_000) }, 2 * time.Second},
			"half":                        {Config{IdleTimeout: time.Minute}, func(p func(uint32)) { p(500_000) }, 31 * time.Second},
			"from the start":              {Config{IdleTimeout: time.Minute}, func(p func(uint32)) { p(1_000_000) }, 2 * time.Second},
			"that goes again":             {Config{IdleTimeout: time.Minute}, func(p func(uint32)) { p(1_000_000); time.Sleep(time.Second); p(0) }, time.Minute},
			"on the age of one that may be idle for ever": {Config{IdleTimeout: -1, MaxDuration: time.Hour}, func(p func(uint32)) { time.Sleep(30 * time.Second); p(1_000_000) }, 30 * time.Second},
		} {
			synctest.Test(t, func(t *testing.T) {
				conn, _, press := squeezed(t, tc.cfg, echo)
				r := bufio.NewReader(conn)
				for range requests {
					request(t, conn, r)
				}
				start := time.Now()
				tc.press(press)
				if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("pressure %s: %v", name, err)
				}
				if took := time.Since(start); took != tc.want {
					t.Errorf("pressure %s, after %d requests: ended after %v; want %v", name, requests, took, tc.want)
				}
			})
		}
	}
}

// A request that comes under pressure, or with it, is served like any other; one on
// which nothing moves is given up sooner.
func TestPressureOnRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, press := squeezed(t, Config{IdleTimeout: time.Minute, StreamIdleTimeout: time.Minute}, func(req *stream.Request) (*stream.Response, error) {
			if req.Body == nil {
				time.Sleep(time.Second)
			}
			return echo(req)
		})
		r := bufio.NewReader(conn)
		for i := range 20 {
			if i%2 == 0 {
				go press(uint32(i%4) * 500_000) // at the same time as the request
			}
			request(t, conn, r)
		}
		press(1_000_000)
		// A body that comes piece by piece, for longer than the connection may be idle.
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		for _, piece := range []string{"h", "e", "l", "l", "o"} {
			press(900_000)
			press(1_000_000)
			time.Sleep(time.Second)
			_, _ = io.WriteString(conn, piece)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %+v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
		start := time.Now()
		resp, err = http.ReadResponse(r, nil)
		if took := time.Since(start); err != nil || resp.StatusCode == 200 || took > 5*time.Second {
			t.Errorf("one that stops: got %+v, %v after %v", resp, err, took)
		}
	})
}

// A connection that is woken ends all the same when its listener drains.
func TestDrainUnderPressure(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			conn, end, press := squeezed(t, Config{IdleTimeout: time.Minute}, echo)
			r := bufio.NewReader(conn)
			request(t, conn, r)
			synctest.Wait()
			start := time.Now()
			go press(500_000)
			end()
			press(600_000)
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("ended after %v", took)
			}
		})
	}
}
