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

// A resource with a time to live goes when it is over, unless a word comes before;
// one without stays.
func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone []string
		c := New(Config{Sink: sinkFunc(func(u Update) error { gone = append(gone, u.Removed...); return nil })})
		tell := func(r response) {
			r.typeURL, r.update.Type = ClusterType, ClusterType
			c.handle(r)
		}
		tell(response{update: Update{Set: []Resource{{Name: "a", ttl: time.Second}, {Name: "b", ttl: time.Second}, {Name: "c"}, {Name: "d", ttl: time.Second}}}})
		time.Sleep(900 * time.Millisecond)
		tell(response{alive: []Resource{{Name: "a", ttl: time.Second}}})
		tell(response{update: Update{Set: []Resource{{Name: "d"}}}})
		start := time.Now()
		for _, want := range []struct {
			gone  string
			after time.Duration
		}{{"b", 100 * time.Millisecond}, {"b a", time.Second}} {
			<-c.lives.timer.C
			c.expire()
			if got := strings.Join(gone, " "); got != want.gone || time.Since(start) != want.after {
				t.Errorf("%s gone after %v; want %s after %v", got, time.Since(start), want.gone, want.after)
			}
		}
	})
}

// In the state of the world a resource that comes again without a time to live has
// none any more. In files and over REST, where nobody is told that it lives on, it
// never has one.
func TestNoTimeToLive(t *testing.T) {
	bare := response{update: Update{Full: true, Set: []Resource{{}}}}
	for _, tc := range []struct {
		name   string
		config Config
		then   []response
		gone   string
	}{
		{"a stream", Config{SotW: true}, nil, "a"},
		{"a stream that tells it bare", Config{SotW: true}, []response{bare}, ""},
		{"a file", Config{File: File{Path: "/cds.yaml"}}, nil, ""},
		{"REST", Config{REST: time.Second}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gone []string
				tc.config.Sink = sinkFunc(func(u Update) error { gone = append(gone, u.Removed...); return nil })
				c := New(tc.config)
				for _, r := range append([]response{{update: Update{Full: true, Set: []Resource{{Name: "a", ttl: time.Second}}}}}, tc.then...) {
					r.typeURL, r.update.Type = ClusterType, ClusterType
					c.handle(r)
				}
				time.Sleep(time.Minute)
				c.expire()
				if got := strings.Join(gone, " "); got != tc.gone {
					t.Errorf("%q gone, want %q", got, tc.gone)
				}
			})
		})
	}
}

// What nobody wants any more is not taken away: whoever wants it again waits for it.
func TestTimeToLiveOfUnwanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone []string
		c := New(Config{Sink: sinkFunc(func(u Update) error { gone = append(gone, u.Removed...); return nil })})
		l := newLine(t.Context())
		c.Want(SecretType, []string{"a", "b"})
		_ = c.sendWishes(l)
		r := set(SecretType, "n", "1", "a", "b")
		r.update.Set[0].ttl, r.update.Set[1].ttl = time.Second, time.Second
		c.handle(r)
		c.Want(SecretType, []string{"b"})
		_ = c.sendWishes(l)
		time.Sleep(time.Minute)
		c.expire()
		if got := strings.Join(gone, " "); got != "b" {
			t.Errorf("%q gone, want b", got)
		}
	})
}
