package main

import (
	"context"
	"runtime/debug"
	"time"
)

// settle gives back, once, what only the start has needed: garbage of reading
// the first configuration, and pages of the program itself. ready is asked
// every few seconds.
func settle(ctx context.Context, ready func() bool) error {
	const pause = 5 * time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for wasReady := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if wasReady {
			debug.FreeOSMemory()
			return releaseProgram()
		}
		wasReady = ready()
	}
}
