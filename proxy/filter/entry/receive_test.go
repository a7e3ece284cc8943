package entry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// reading is an upstream that reads what it is sent before it answers.
type reading struct{}

func (reading) Handle(req *stream.Request) (*stream.Response, error) {
	if _, whole, err := stream.Peek(req, 100); err != nil || !whole {
		return nil, err
	}
	if !req.Waiting.Pause(time.Minute) {
		return nil, req.GivenUp()
	}
	return &stream.Response{Status: 200}, nil
}

// late is a body that is whole after its time; Interrupt ends the wait for it.
type late struct {
	stream.Bytes
	after   time.Duration
	whole   bool
	stopped chan struct{}
}

func (l *late) Wait() error {
	select {
	case <-time.After(l.after):
		l.whole = true
		return nil
	case <-l.stopped:
		return stream.SourceError{}
	}
}
func (l *late) Complete() bool { return l.whole }

// A request that does not arrive in time is answered 408; the answer may take as long
// as it likes.
func TestRequestTimeout(t *testing.T) {
	for after, want := range map[time.Duration]int{0: 200, 900 * time.Millisecond: 200, 2 * time.Second: 408} {
		synctest.Test(t, func(t *testing.T) {
			body := &late{after: after, stopped: make(chan struct{})}
			req := &stream.Request{Method: "POST", Path: "/", Authority: "shop", Body: body, Length: stream.Unknown, Conn: &stream.Conn{}, Info: &stream.Info{Start: time.Now()}}
			req.Upload.Interrupt = func() { close(body.stopped) }
			start, status := time.Now(), 200
			if _, err := New(Config{RequestTimeout: time.Second}, Routing{NotFound: reading{}}).Handle(req); err != nil {
				status = stream.AsRefusal(err).Status
			}
			if took := time.Since(start); status != want || want == 408 && took != time.Second {
				t.Errorf("a body after %v: got %d after %v", after, status, took)
			}
		})
	}
}
