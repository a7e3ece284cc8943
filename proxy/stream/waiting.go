package stream

import (
	"sync"
	"time"
)

// An Interrupter can be made to stop waiting.
type Interrupter interface{ Interrupt() }

// Waiting is what a request waits for upstream, so that somebody else can end
// the wait when its answer is no longer wanted.
type Waiting struct {
	mu  sync.Mutex
	on  Interrupter // guarded by mu; nil when it waits for nothing
	why Flags       // guarded by mu; why it was abandoned, 0 when it was not
}

// On notes what the request waits for. It reports false when the request has
// been abandoned: then nothing should be begun for it.
func (w *Waiting) On(i Interrupter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = i
	return w.why == 0
}

// Pause waits for d. It reports false when the request is abandoned before.
func (w *Waiting) Pause(d time.Duration) bool { return w.Until(nil, d) }

// Until waits until done is closed, for d at most. It reports false when the request is
// abandoned before.
func (w *Waiting) Until(done <-chan struct{}, d time.Duration) bool {
	woken := NewAlarm()
	if !w.On(woken) {
		w.Off()
		return false
	}
	defer w.Off()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-late.C:
		return true
	case <-done:
		return true
	case <-woken:
		return false
	}
}

// Alarm is an [Interrupter] for who waits for several things at once. It holds one.
type Alarm chan struct{}

// NewAlarm makes an alarm.
func NewAlarm() Alarm { return make(Alarm, 1) }

// Interrupt implements [Interrupter].
func (a Alarm) Interrupt() {
	select {
	case a <- struct{}{}:
	default:
	}
}

// Off says that the wait is over. After it nothing is interrupted any more.
func (w *Waiting) Off() {
	w.mu.Lock()
	w.on = nil
	w.mu.Unlock()
}

// Abandon ends the wait. why is DownstreamTermination, DownstreamReset,
// DownstreamProtocol, StreamIdleTimeout, DurationTimeout or RequestTimeout; only the first one counts.
func (w *Waiting) Abandon(why Flags) { w.AbandonIf(why, func() bool { return true }) }

// AbandonIf is Abandon if the request is still the one that was meant: as long as
// the question is put, no other one begins. It reports whether it was.
func (w *Waiting) AbandonIf(why Flags, still func() bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !still() {
		return false
	}
	if w.why != 0 {
		return true
	}
	if w.why = why; w.on != nil {
		w.on.Interrupt()
	}
	return true
}

// Abandoned tells why the request was given up, 0 when it was not.
func (w *Waiting) Abandoned() Flags {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// Reset prepares for the next request.
func (w *Waiting) Reset() {
	w.mu.Lock()
	w.on, w.why = nil, 0
	w.mu.Unlock()
}
