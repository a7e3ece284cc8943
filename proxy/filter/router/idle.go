package router

import (
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// idle ends a try of which nothing has come for too long. Its time runs only while
// somebody waits for the upstream, and not before the request has been sent.
type idle struct {
	limit  time.Duration
	try    stream.Interrupter
	upload *stream.Upload

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil while nobody waits
	turn  uint        // guarded by mu: counts the waits, so that a timer of before does nothing
	over  bool        // guarded by mu
}

// errIdle is how a try ends whose response has begun.
var errIdle = &stream.Refusal{Flags: stream.UpstreamTimeout, Details: "upstream_per_try_idle_timeout"}

// newIdle begins to wait for what comes of the try; nil where it may take its time.
func newIdle(a *attempt, req *stream.Request) *idle {
	if r := a.policy; r == nil || r.PerTryIdle == 0 || r.Hedge || req.Upgrade != "" {
		return nil
	}
	i := &idle{limit: a.policy.PerTryIdle, try: a.client, upload: &req.Upload}
	i.start()
	return i
}

// start begins a wait.
func (i *idle) start() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turn++
	i.arm(i.limit)
}

// arm sets the timer. The caller holds mu.
func (i *idle) arm(d time.Duration) {
	turn := i.turn
	i.timer = time.AfterFunc(d, func() { i.late(turn) })
}

// late ends the try, unless its request is still being sent.
func (i *idle) late(turn uint) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch left := i.limit - i.upload.Since(); {
	case i.turn != turn:
	case left > 0 && left <= i.limit: // more is the work of a clock that was set
		i.arm(left)
	default:
		i.over = true
		i.try.Interrupt()
	}
}

// stop ends a wait, and reports whether the try is over. After it nothing is
// interrupted any more.
func (i *idle) stop() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turn++
	i.timer.Stop()
	return i.over
}

// isOver reports whether the try was ended.
func (i *idle) isOver() bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.over
}

// idleBody bounds the waits for a response's content.
type idleBody struct {
	stream.Wrapped
	attempt *attempt
}

// Read implements [stream.Body].
func (b *idleBody) Read(p []byte) (int, error) { return stream.ReadBuffered(b, p) }

// Wait implements [stream.Body].
func (b *idleBody) Wait() error {
	if len(b.Buffered()) > 0 || b.Complete() {
		return nil
	}
	a := b.attempt
	a.idle.start()
	err := b.Body.Wait()
	if a.idle.stop() {
		a.outcome = cluster.LocalFailure
		a.cluster.Stats.RqPerTryIdleTimeout.Add(1)
		return errIdle
	}
	return err
}

var _ stream.Framed = (*idleBody)(nil)
