package cluster

import (
	"sync"
	"testing"
)

// Nothing is lost when they come for the first time at once.
func TestTally(t *testing.T) {
	var c Tally[int]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				c.Count(200 + i%5)
			}
		})
	}
	all.Wait()
	seen := map[int]int64{}
	c.Each(func(status int, n int64) { seen[status] += n })
	for i := range 5 {
		if seen[200+i] != 1600 {
			t.Errorf("%d was counted %d times", 200+i, seen[200+i])
		}
	}
	if len(seen) != 5 {
		t.Errorf("counted %v", seen)
	}
}
