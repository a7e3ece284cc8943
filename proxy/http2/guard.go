package http2

import "time"

// guard bounds what a peer can make a connection do for nothing. It is guarded
// by the connection's mutex.
type guard struct {
	since  time.Time
	idle   int // frames since then that cost work and carry nothing
	useful int // streams begun, and DATA frames each way
	// resets are streams that came to nothing soon after they began; every stream
	// that is answered takes one away.
	resets int
	// owed counts replies to control frames that have not been written.
	owed int
}

const (
	guardSpan  = 10 * time.Second
	idleFrames = 2000 // per span, and idlePerUse for each useful frame
	idlePerUse = 10
	maxResets  = 200
	maxOwed    = 1000
	// soon is how young a stream is whose reset counts.
	soon = time.Second
)

// nothing counts a frame that carries nothing and reports an error when there
// are too many of them. The clock is read only when there might be.
func (g *guard) nothing() error {
	g.idle++
	if g.idle < idleFrames+idlePerUse*g.useful {
		return nil
	}
	if now := time.Now(); now.Sub(g.since) > guardSpan {
		g.since, g.idle, g.useful = now, 0, 0
		return nil
	}
	return broken(EnhanceYourCalm, "too many frames that carry nothing")
}

// wasted counts a stream that came to nothing.
func (g *guard) wasted() error {
	if g.resets++; g.resets > maxResets {
		return broken(EnhanceYourCalm, "too many streams were reset")
	}
	return nil
}

// answered counts a stream that was served to its end.
func (g *guard) answered() { g.resets = max(0, g.resets-1) }

// owes counts a reply to a control frame.
func (g *guard) owes() error {
	if g.owed++; g.owed > maxOwed {
		return broken(EnhanceYourCalm, "replies to control frames are not read")
	}
	return nil
}
