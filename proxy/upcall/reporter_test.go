package upcall

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A collector that takes its time costs no more than a bounded queue, and what is
// lost is told.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		sent, told := 0, ""
		r := &Reporter[int]{Send: func(s []int) error { <-wait; sent += len(s); return nil }, Failed: func(err error) { told += err.Error() }}
		for range batchSize {
			r.Add(1)
		}
		synctest.Wait() // the first batch is on its way
		for range 2 * mostQueued {
			r.Add(1)
		}
		close(wait)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := batchSize + mostQueued; sent != want || !strings.Contains(told, "5000 did not fit") {
			t.Errorf("%d sent; want %d; told %q", sent, want, told)
		}
	})
}

// A batch goes when its time has come, or when it is heavy enough.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var sizes []int
		var times []time.Duration
		r := &Reporter[string]{Every: 3 * time.Second, Most: 10, Weigh: func(s string) int { return len(s) }, Send: func(s []string) error {
			sizes, times = append(sizes, len(s)), append(times, time.Since(start))
			return nil
		}}
		r.Add("12345")
		r.Add("678")
		time.Sleep(5 * time.Second)
		r.Add("12345")
		r.Add("67890")
		time.Sleep(5 * time.Second)
		r.Add("a longer one")
		synctest.Wait()
		want := []time.Duration{3 * time.Second, 5 * time.Second, 10 * time.Second}
		if len(sizes) != 3 || sizes[0] != 2 || sizes[1] != 2 || sizes[2] != 1 || times[0] != want[0] || times[1] != want[1] || times[2] != want[2] {
			t.Errorf("sent %v at %v", sizes, times)
		}
	})
}
