package proxy

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Reading a large configuration takes several times the memory that it needs in
// the end. The runtime would keep that for a while; a sidecar is better off when
// its neighbours have it.
const (
	// muchAtOnce is how many resources make an update large.
	muchAtOnce = 500
	// settleAfter is how long the updates of one large change may take.
	settleAfter = 2 * time.Second
)

// tidy gives back what large updates have left.
type tidy struct{ pending atomic.Bool }

// after is called with the size of each update.
func (t *tidy) after(resources int) {
	if resources >= muchAtOnce && t.pending.CompareAndSwap(false, true) {
		time.AfterFunc(settleAfter, func() {
			t.pending.Store(false)
			debug.FreeOSMemory()
		})
	}
}
