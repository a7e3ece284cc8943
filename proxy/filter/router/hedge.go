package router

import (
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// hedge makes a request whose slow tries go on while others begin beside them. The
// request's own goroutine decides; each try has a goroutine and a copy of the
// request.
type hedge struct {
	*attempt       // what the tries have in common; in the end, the one that answers
	req            *stream.Request
	body           []byte
	untold         bool // the body's length, as the client sends it
	ended, delayed chan *hedged
	woken          stream.Alarm     // the request was given up
	over           chan struct{}    // closed when nobody listens to the tries any more
	running        map[*hedged]bool // that have no answer yet
	next           <-chan time.Time // when another try begins; nil for none
}

// hedged is one try.
type hedged struct {
	attempt
	req     *stream.Request // its own
	retried bool            // another one has begun because this one is slow
	resp    *stream.Response
	why     failure
	err     error
}

// hedges reports whether the request may be made by several tries at once, and gives
// its body for them. A body whose length is not told may have no end before the
// answer: it is not waited for.
func (a *attempt) hedges(req *stream.Request) (body []byte, may bool, err error) {
	r := a.policy
	if r == nil || !r.Hedge || r.On == 0 || r.PerTry == 0 && r.PerTryIdle == 0 || req.Upgrade != "" || req.Length > replayLimit {
		return nil, false, nil
	}
	if req.Length == stream.Unknown {
		body, may = stream.PeekArrived(req, replayLimit)
	} else if body, may, err = stream.Peek(req, replayLimit); err != nil {
		if why := req.Waiting.Abandoned(); why != 0 && !why.Gone() {
			return nil, false, a.refuse(req, failedSlow, err)
		}
		return nil, false, a.refuse(req, failedDownstream, err)
	}
	a.began = time.Now() // a slow client is not the upstream's fault
	return body, may && (req.Body == nil || req.Body.Trailers() == nil), nil
}

func newHedge(a *attempt, req *stream.Request, body []byte, untold bool) *hedge {
	return &hedge{
		attempt: a, req: req, body: body, untold: untold, ended: make(chan *hedged), delayed: make(chan *hedged), woken: stream.NewAlarm(),
		over: make(chan struct{}), running: map[*hedged]bool{},
	}
}

// run tries until there is a response to give, or no try is left. Tries that are
// still under way then are reset.
func (h *hedge) run() (*stream.Response, error) {
	h.bound(h.req)
	defer h.leave()
	if !h.req.Waiting.On(h.woken) || !h.begin() {
		return nil, h.refuse(h.req, h.beginning(), nil)
	}
	for {
		select {
		case t := <-h.ended:
			if resp, err, decided := h.decide(t); decided {
				return resp, err
			}
		case t := <-h.delayed:
			h.delay(t)
		case <-h.next:
			h.next = nil
			h.tellTime()
			if !h.begin() && len(h.running) == 0 {
				return nil, h.refuse(h.req, h.beginning(), nil)
			}
		case <-h.woken:
			return nil, h.refuse(h.req, h.beginning(), nil)
		}
	}
}

// begin begins another try. It reports false when there is no endpoint for it, or
// no time.
func (h *hedge) begin() bool {
	if !h.deadline.IsZero() && !time.Now().Before(h.deadline) {
		return false
	}
	h.number(h.req)
	if !h.aim(h.req) {
		return false
	}
	t := &hedged{attempt: *h.attempt, req: detached(h.req, h.body)}
	t.retrying = false // the budget is held here
	if *t.req.Info = *h.req.Info; h.untold {
		t.req.Length = stream.Unknown
	}
	t.req.Info.UpstreamBytes = stream.Meter{}
	t.slow = &slow{after: h.patience(), tell: func() { h.tell(h.delayed, t) }}
	h.running[t] = true
	// Ends with its try, which leave interrupts.
	go func() {
		t.resp, t.why, t.err = t.send(t.req)
		if t.why == 0 && !t.req.Upload.Within(uploadTime) {
			t.client.Settle(t.req) // whoever takes the answer knows nothing of this upload
		}
		if !h.tell(h.ended, t) {
			t.end(false)
		}
	}()
	return true
}

// beginning is why a try did not begin.
func (h *hedge) beginning() failure {
	switch why := givenUp(h.req); {
	case why != 0:
		return why
	case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
		return failedTimeout
	}
	return failedNoHost
}

// patience is how long a try may take before another one begins.
func (h *hedge) patience() time.Duration {
	r := h.policy
	if r.PerTry > 0 && (r.PerTryIdle == 0 || r.PerTry < r.PerTryIdle) {
		return r.PerTry
	}
	return r.PerTryIdle
}

// tell tells what has become of a try, and reports whether somebody listened.
func (h *hedge) tell(channel chan<- *hedged, t *hedged) bool {
	select {
	case channel <- t:
		return true
	case <-h.over:
		return false
	}
}

// delay begins another try beside one that is slow, whatever it would be retried on.
func (h *hedge) delay(t *hedged) {
	if !h.running[t] {
		return
	}
	h.cluster.Report(t.host, cluster.LocalFailure, time.Now)
	h.endRetry()
	switch {
	case h.retriesSpent():
		h.noteLimit(h.req)
	case h.again(h.req):
		t.retried = true
		h.wait(nil)
	}
}

// wait lets the next try begin in a while.
func (h *hedge) wait(resp *stream.Response) {
	pause := h.backoff(resp)
	if !h.deadline.IsZero() {
		pause = min(pause, time.Until(h.deadline))
	}
	h.next = time.After(pause)
}

// decide gives a try's outcome, unless there is hope for a better one.
func (h *hedge) decide(t *hedged) (resp *stream.Response, err error, decided bool) {
	delete(h.running, t)
	bad := t.why != 0 || wantsResponse(h.policy, t.resp)
	if !t.retried && h.retry(h.req, t.resp, t.why) {
		h.wait(t.resp)
		h.drop(t)
		return nil, nil, false
	}
	limited := bad && !t.retried && h.retriesSpent() && (t.why == 0 || wantsFailure(h.policy, t.why))
	if bad && (len(h.running) > 0 || h.next != nil) {
		if limited {
			h.noteLimit(h.req)
		}
		if t.why == failedTimeout {
			h.cluster.Stats.RqTimeout.Add(1)
		}
		h.drop(t)
		return nil, nil, false
	}
	h.endRetry()
	h.take(t)
	if t.why != 0 {
		return nil, h.refuse(h.req, t.why, t.err), true
	}
	if !h.req.Waiting.On(h.client) {
		h.end(false)
		return nil, h.refuse(h.req, h.beginning(), nil), true
	}
	if limited {
		h.noteLimit(h.req)
	}
	h.cluster.Stats.Count(t.resp.Status)
	return t.resp, nil, true
}

// drop ends a try that is not the one. What it has carried counts.
func (h *hedge) drop(t *hedged) {
	t.end(true)
	h.req.Info.UpstreamBytes.Add(&t.req.Info.UpstreamBytes)
}

// take makes a try the one that the request's record tells of.
func (h *hedge) take(t *hedged) {
	t.req.Waiting.Off()
	flags, attempts, carried := h.req.Info.Flags, h.req.Info.Attempts, h.req.Info.UpstreamBytes
	*h.req.Info = *t.req.Info
	h.req.Info.Flags, h.req.Info.Attempts = flags, attempts
	h.req.Info.UpstreamBytes.Add(&carried)
	h.host, h.conn, h.client, h.shared, h.outcome = t.host, t.conn, t.client, t.shared, t.outcome
	h.attempt.req = h.req
}

// tellTime tells the next try how much time is left.
func (h *hedge) tellTime() {
	h.router.tellTime(h.req, h.policy, h.limit, time.Since(h.began))
}

// leave resets the tries that are still under way.
func (h *hedge) leave() {
	h.endRetry()
	close(h.over)
	for t := range h.running {
		t.req.Waiting.Abandon(stream.DownstreamTermination)
	}
}

// slow tells of a try that takes long.
type slow struct {
	after time.Duration
	tell  func()
	timer *time.Timer
}

func (s *slow) start() {
	if s != nil {
		s.timer = time.AfterFunc(s.after, s.tell)
	}
}

func (s *slow) stop() {
	if s != nil {
		s.timer.Stop()
	}
}
