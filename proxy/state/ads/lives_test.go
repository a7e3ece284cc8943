package ads

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// line is a wire of a test: what is sent, and what comes; it breaks when heard is
// closed.
type line struct {
	ctx   context.Context
	sent  chan message
	heard chan response
}

func newLine(ctx context.Context) *line {
	return &line{ctx, make(chan message, 100), make(chan response, 10)}
}

func (l *line) send(m message) error { l.sent <- m; return nil }

func (l *line) receive() (response, string, error) {
	select {
	case r, open := <-l.heard:
		if open {
			return r, "", nil
		}
		return response{}, "", errors.New("broken")
	case <-l.ctx.Done():
		return response{}, "", l.ctx.Err()
	}
}

func (l *line) close() {}

// run runs a client until the test ends.
func run(t *testing.T, c *Client) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// Resources outlive their time also while there is no stream, whether one is being
// opened or the pause before that lasts, and the next stream does not tell that they
// are held: they come again.
func TestTimeToLiveWithoutStream(t *testing.T) {
	for _, tc := range []struct {
		name         string
		pause, hangs time.Duration
	}{{"refused", time.Minute, 0}, {"hanging", time.Millisecond, time.Minute}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gone []string
				var at time.Duration
				start := time.Now()
				c := New(Config{Backoff: tc.pause, MaxBackoff: tc.pause, Sink: sinkFunc(func(u Update) error {
					if len(u.Removed) > 0 {
						gone, at = append(gone, u.Removed...), time.Since(start)
					}
					return nil
				})})
				lines := make(chan *line, 2)
				streams := 0
				c.connect = func(ctx context.Context, _ Config) (wire, error) {
					if streams++; streams == 2 {
						time.Sleep(tc.hangs)
						return nil, errors.New("refused")
					}
					l := newLine(ctx)
					lines <- l
					return l, nil
				}
				c.Want(EndpointType, []string{"a", "b"})
				run(t, c)
				first := <-lines
				<-first.sent
				r := set(EndpointType, "n", "1", "a", "b")
				r.update.Set[0].ttl = time.Second
				first.heard <- r
				<-first.sent
				close(first.heard)
				second := <-lines
				if strings.Join(gone, " ") != "a" || at != time.Second {
					t.Errorf("%v gone after %v, want a after 1s", gone, at)
				}
				want := message{typeURL: EndpointType, subscribe: []string{"a", "b"}, initial: map[string]string{"b": "1"}}
				if diff := cmp.Diff(<-second.sent, want, exact); diff != "" {
					t.Error("first request of the next stream:", diff)
				}
			})
		})
	}
}
