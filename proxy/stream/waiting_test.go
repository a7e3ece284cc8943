package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

type counter int

func (c *counter) Interrupt() { *c++ }

// A wait is ended once, however often the request is given up, and nothing is
// begun for it afterwards.
func TestAbandon(t *testing.T) {
	var w Waiting
	var n counter
	if !w.On(&n) {
		t.Fatal("a new request is given up")
	}
	w.Abandon(StreamIdleTimeout)
	w.Abandon(DownstreamTermination)
	if n != 1 || w.Abandoned() != StreamIdleTimeout {
		t.Errorf("interrupted %d times, for %v", n, w.Abandoned())
	}
	if w.On(&n) || w.Pause(time.Hour) {
		t.Error("something was begun for a request that is given up")
	}
	if w.Reset(); !w.On(&n) {
		t.Error("the next request is given up too")
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Waiting
		start := time.Now()
		if !w.Pause(time.Minute) || time.Since(start) != time.Minute {
			t.Errorf("paused for %v", time.Since(start))
		}
		time.AfterFunc(time.Second, func() { w.Abandon(DownstreamTermination) })
		if w.Pause(time.Hour) || time.Since(start) != 61*time.Second {
			t.Errorf("ended after %v", time.Since(start))
		}
	})
}
