// Package overload watches how much of the machine the proxy uses, and has it do
// less before there is nothing left: it takes no more requests or connections,
// keeps none open or not for long, and gives memory back. It stands beside the stages, which ask
// it at the few places where less can be done.
package overload

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Action is what is done under pressure.
type Action uint8

// The actions, after Envoy's.
const (
	StopRequests      Action = iota // requests are answered 503
	StopKeepalive                   // connections end with their request
	StopConnections                 // none is accepted
	RejectConnections               // those that are accepted are closed
	ShrinkHeap                      // memory is given back
	ReduceTimeouts                  // timeouts of clients are shorter
	actions
)

var actionNames = [actions]string{"stop_accepting_requests", "disable_http_keepalive", "stop_accepting_connections", "reject_incoming_connections", "shrink_heap", "reduce_timeouts"}

// String is the action's name, without Envoy's prefix.
func (a Action) String() string { return actionNames[a] }

// Named finds an action by its name.
func Named(name string) (Action, bool) {
	for a, n := range actionNames {
		if n == name {
			return Action(a), true
		}
	}
	return 0, false
}

// Config says what is watched and what follows.
type Config struct {
	// Every is how often the pressure is looked at; 1 s when zero.
	Every    time.Duration
	Monitors []Monitor
	Triggers []Trigger
	// Timers are what [ReduceTimeouts] squeezes; nil stays as it is.
	Timers [Timers]*stream.Squeeze
	// Changed is told when timers have got noticeably shorter or longer; it may be nil.
	Changed func()
	Log     *slog.Logger
}

// Timer is a kind of timeouts.
type Timer uint8

// The kinds, of clients' connections.
const (
	Idle      Timer = iota // without a request
	Stream                 // of a request on which nothing moves
	Handshake              // of TLS
	Age                    // of a connection altogether
	Timers                 // how many there are
)

// Monitor measures the pressure on one resource: 0 is none, 1 is all that there
// may be. It is asked by the manager's goroutine alone.
type Monitor struct {
	Name     string
	Pressure func() (float64, error)
}

// Trigger is when an action is taken.
type Trigger struct {
	Action  Action
	Monitor string
	// From is the pressure from which on the action is taken. With Full it is taken
	// for a share that grows from nothing there to everything at Full.
	From, Full float64
}

// share is how much of an action a pressure asks for.
func (t *Trigger) share(pressure float64) float64 {
	switch {
	case pressure < t.From:
		return 0
	case t.Full <= t.From || pressure >= t.Full:
		return 1
	}
	return (pressure - t.From) / (t.Full - t.From)
}

// Manager watches. A nil manager never asks for anything.
type Manager struct {
	config    Config
	pressures []atomic.Int64 // in percent, by monitor
	shares    [actions]atomic.Uint32
	// told is the pressure on timers of which connections know, in millionths; the
	// watching goroutine's.
	told uint32
}

// New makes a manager. It watches while [Manager.Run] runs.
func New(c Config) *Manager {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{config: c, pressures: make([]atomic.Int64, len(c.Monitors))}
}

// Run watches until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	tick := time.NewTicker(m.config.Every)
	defer tick.Stop()
	for {
		m.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// shrinkEvery is how often memory is given back, at most: it costs a collection.
const shrinkEvery = 10 * time.Second

// look measures and draws the conclusions. The share of an action is the largest
// that one of its triggers asks for.
func (m *Manager) look() {
	var shares [actions]float64
	for i, monitor := range m.config.Monitors {
		pressure, err := monitor.Pressure()
		if err != nil {
			m.config.Log.Warn("pressure not known", "resource", monitor.Name, "error", err)
			continue
		}
		m.pressures[i].Store(int64(pressure * 100))
		for j := range m.config.Triggers {
			if t := &m.config.Triggers[j]; t.Monitor == monitor.Name {
				shares[t.Action] = max(shares[t.Action], t.share(pressure))
			}
		}
	}
	for a := range shares {
		before, now := m.shares[a].Load(), uint32(shares[a]*1_000_000)
		m.shares[a].Store(now)
		if (before == 0) != (now == 0) {
			m.config.Log.Warn("overload", "action", Action(a).String(), "active", now > 0)
		}
		switch {
		case Action(a) == ReduceTimeouts:
			m.squeeze(now)
		case Action(a) == ShrinkHeap && now > 0:
			m.shrink()
		}
	}
}

// noticeable is the change of pressure, in millionths, from which on connections that
// wait are woken for it.
const noticeable = 50_000

// squeeze changes the timers, and tells where it matters.
func (m *Manager) squeeze(now uint32) {
	for _, t := range m.config.Timers {
		if t != nil {
			t.Press(now)
		}
	}
	apart := max(now, m.told) - min(now, m.told)
	if apart >= noticeable || apart > 0 && (now == 0 || now == 1_000_000) {
		if m.told = now; m.config.Changed != nil {
			m.config.Changed()
		}
	}
}

// Timer is what squeezes timeouts of a kind; nil where nothing does.
func (m *Manager) Timer(t Timer) *stream.Squeeze {
	if m == nil {
		return nil
	}
	return m.config.Timers[t]
}

var lastShrink atomic.Int64 // Unix nanoseconds; of the process, as its memory is

func (m *Manager) shrink() {
	now := time.Now().UnixNano()
	if last := lastShrink.Load(); now-last >= int64(shrinkEvery) && lastShrink.CompareAndSwap(last, now) {
		debug.FreeOSMemory()
	}
}

// Asks draws whether an action is to be taken now.
func (m *Manager) Asks(a Action) bool {
	if m == nil {
		return false
	}
	share := m.shares[a].Load()
	return share > 0 && stream.Chance(share)
}

// Each tells the pressure on each resource, in percent, and how much of each
// action is taken, in percent.
func (m *Manager) Each(pressure func(resource string, percent int64), action func(a Action, percent int64)) {
	if m == nil {
		return
	}
	for i, monitor := range m.config.Monitors {
		pressure(monitor.Name, m.pressures[i].Load())
	}
	for a := range m.shares {
		action(Action(a), int64(m.shares[a].Load()/10_000))
	}
}
