// Package overload watches how much of the machine the proxy uses, and has it do
// less before there is nothing left: it takes no more requests or connections,
// keeps none open, and gives memory back. It stands beside the stages, which ask
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
	actions
)

var actionNames = [actions]string{"stop_accepting_requests", "disable_http_keepalive", "stop_accepting_connections", "reject_incoming_connections", "shrink_heap"}

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
	Log      *slog.Logger
}

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
		if Action(a) == ShrinkHeap && now > 0 {
			m.shrink()
		}
	}
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
