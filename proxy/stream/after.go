package stream

import "time"

// After calls f when d is over, unless it is stopped before. When stop returns, f does
// not run and will not: what it works on may be used for something else.
func After(d time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	t := time.AfterFunc(d, func() {
		defer close(done)
		f()
	})
	return func() {
		if !t.Stop() {
			<-done
		}
	}
}
