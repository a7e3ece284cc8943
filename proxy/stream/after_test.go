package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever has stopped it need not fear that it still works.
func TestAfter(t *testing.T) {
	for late, ran := range map[time.Duration]bool{time.Second / 2: false, 3 * time.Second / 2: true} {
		synctest.Test(t, func(t *testing.T) {
			ended := false
			stop := After(time.Second, func() {
				time.Sleep(time.Second)
				ended = true
			})
			time.Sleep(late)
			stop()
			if ended != ran {
				t.Errorf("stopped after %v: ended %v", late, ended)
			}
		})
	}
}
