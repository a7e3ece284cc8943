package http2

import (
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A connection without a stream, and a stream on which nothing moves, notice the
// pressure when it comes.
func TestPressureOnConnections(t *testing.T) {
	for _, tc := range []struct {
		name        string
		cfg         Config
		least, most time.Duration // until the end, from when there is pressure
		open        bool          // a stream is
	}{
		{"idle", Config{IdleTimeout: time.Hour}, 0, 4 * time.Second, false},
		{"idle for ever", Config{IdleTimeout: -1, MaxDuration: time.Hour}, 0, 4 * time.Second, false},
		{"a stream", Config{IdleTimeout: time.Hour, StreamIdleTimeout: time.Hour}, 0, 4 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			squeeze := &stream.Squeeze{Least: 2 * time.Second}
			tc.cfg.Squeezes = stream.Squeezes{Idle: squeeze, Stream: squeeze, Age: squeeze}
			near, far := pipe()
			facts := &stream.Conn{Local: serverAddress, Remote: clientAddress, Start: time.Now()}
			ended := make(chan struct{})
			server := NewServer(tc.cfg, handlerFunc(func(req *stream.Request) (*stream.Response, error) {
				if _, err := readAll(req.Body); err != nil {
					return nil, &stream.Refusal{Status: 408, Flags: stream.StreamIdleTimeout}
				}
				return &stream.Response{Status: 200}, nil
			}), nil)
			go func() { defer close(ended); server.Serve(far, facts, nil) }()
			r := newRaw(t, near)
			if tc.open {
				r.headers(1, false, post...)
			}
			time.Sleep(time.Minute)
			start := time.Now()
			squeeze.Press(1_000_000)
			facts.Wake()
			switch f := r.next().(type) {
			case *oracle.GoAwayFrame:
				if tc.open {
					t.Errorf("%s: got %v", tc.name, f)
				}
			case *oracle.MetaHeadersFrame:
				if !tc.open || f.PseudoValue("status") != "408" {
					t.Errorf("%s: got %v", tc.name, f)
				}
			default:
				t.Errorf("%s: got %v", tc.name, f)
			}
			if took := time.Since(start); took < tc.least || took > tc.most {
				t.Errorf("%s: ended after %v", tc.name, took)
			}
			near.Close()
			<-ended
			facts.Wake() // which has ended
		})
	}
}
