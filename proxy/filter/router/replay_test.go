package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// post sends a body in two pieces without telling its length. The second one is
// sent when go ahead is given.
func post(t *testing.T, address string, first, second string, ahead <-chan struct{}) (int, string) {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		io.WriteString(w, first)
		<-ahead
		io.WriteString(w, second)
		w.Close()
	}()
	resp, err := http.Post("http://"+address+"/", "text/plain", r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

// A body that is still arriving while it is sent is sent again from its beginning,
// as long as all of it is there.
func TestStreamedBodiesAreSentAgain(t *testing.T) {
	for _, tc := range []struct {
		name          string
		first, second int
		status        int
	}{
		{"short", 10, 10, 200},
		{"long", 100_000, 700_000, 200},
		{"too long to be kept", 100_000, replayLimit, 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var calls atomic.Int32
			ahead := make(chan struct{})
			want := strings.Repeat("a", tc.first) + strings.Repeat("b", tc.second)
			up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					io.ReadFull(r.Body, make([]byte, tc.first))
					close(ahead)
				}
				body, err := io.ReadAll(r.Body)
				if calls.Load() == 1 {
					w.WriteHeader(503)
					return
				}
				fmt.Fprint(w, err == nil && string(body) == want)
			})
			address := proxyTo(t, route.Forward{Retry: &route.Retry{On: route.On5xx, Max: 1, BaseBackoff: time.Millisecond}}, nil, up)
			status, text := post(t, address, want[:tc.first], want[tc.first:], ahead)
			if status != tc.status || tc.status == 200 && text != "true" {
				t.Errorf("got %d %q after %d calls", status, text, calls.Load())
			}
		})
	}
}

// An endpoint that cannot be reached has taken nothing of a body, however it
// arrives.
func TestStreamedBodiesMoveOn(t *testing.T) {
	ahead := make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 5))
		close(ahead)
		rest, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s", rest)
	})
	// One of the two comes first; the dead one is not tried twice.
	address := proxyTo(t, route.Forward{Retry: &route.Retry{On: route.OnConnectFailure, Max: 3, AvoidPrevious: true, HostAttempts: 10, BaseBackoff: time.Millisecond}}, nil, "127.0.0.1:1", up)
	if status, text := post(t, address, "first", "second", ahead); status != 200 || text != "second" {
		t.Errorf("got %d %q", status, text)
	}
}

// The budget counts the retries that are under way, not those that begin at the
// same moment.
func TestRetriesUnderWayAreCounted(t *testing.T) {
	var calls atomic.Int32
	retrying, finish := make(chan struct{}), make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" && calls.Add(1) == 2 {
			close(retrying)
			<-finish
			return
		}
		w.WriteHeader(503)
	})
	observer := &seen{requests: make(chan stream.Info, 8)}
	address, c := proxyToCluster(t, route.Forward{Retry: &route.Retry{On: route.On5xx, Max: 1, BaseBackoff: time.Millisecond}}, observer, cluster.Limits{Retries: 1}, up)
	first := make(chan int)
	go func() {
		resp, err := http.Get("http://" + address + "/held")
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-retrying
	resp, err := http.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if info := <-observer.requests; resp.StatusCode != 503 || info.Flags&stream.UpstreamOverflow == 0 {
		t.Errorf("beside a retry: %d, flags %v", resp.StatusCode, info.Flags)
	}
	close(finish)
	if status := <-first; status != 200 {
		t.Errorf("the first one: %d", status)
	}
	if n := c.Stats.RqRetrySuccess.Load(); n != 1 {
		t.Errorf("%d retries succeeded; want 1", n)
	}
	if !c.Default.AcquireRetry() {
		t.Error("the budget has not come back")
	}
}

// Whoever gives a request up ends its pause, too.
func TestPauseEnds(t *testing.T) {
	for why, want := range map[stream.Flags]failure{0: failedTimeout, stream.DownstreamTermination: failedDownstream, stream.StreamIdleTimeout: failedSlow} {
		synctest.Test(t, func(t *testing.T) {
			req := &stream.Request{}
			a := attempt{deadline: time.Now().Add(time.Minute)}
			if why != 0 {
				time.AfterFunc(time.Second, func() { req.Waiting.Abandon(why) })
			}
			start := time.Now()
			if got := a.pause(req, time.Hour); got != want {
				t.Errorf("%v: got %d", why, got)
			}
			if took := time.Since(start); why != 0 && took != time.Second || why == 0 && took != time.Minute {
				t.Errorf("%v: took %v", why, took)
			}
			if why == 0 && a.pause(req, -time.Second) != 0 {
				t.Error("a pause of no length was cut short")
			}
		})
	}
}

// broken is a body whose client breaks off in the middle.
type broken struct{ stream.Bytes }

func (*broken) Complete() bool { return false }
func (*broken) Wait() error    { return errors.New("broken off") }

func TestReplayNeedsTheRest(t *testing.T) {
	req := &stream.Request{Info: &stream.Info{}, Body: &broken{*stream.NewBytes([]byte("half"))}}
	b := newReplay(&route.Retry{On: route.On5xx, Max: 1}, nil, req)
	req.Body.Discard(2)
	if b.rewind(req); string(req.Body.Buffered()) != "ha" || !b.possible() {
		t.Errorf("rewound to %q, possible %v", req.Body.Buffered(), b.possible())
	}
	req.Body.Discard(2)
	if string(req.Body.Buffered()) != "lf" {
		t.Errorf("goes on with %q", req.Body.Buffered())
	}
	if b.broken = true; b.possible() {
		t.Error("a body whose rest cannot be read is sent again")
	}
}
