package overload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

func TestShares(t *testing.T) {
	for _, tc := range []struct{ from, full, pressure, want float64 }{
		{0.9, 0, 0.89, 0}, {0.9, 0, 0.9, 1}, {0.8, 1, 0.7, 0}, {0.8, 1, 0.8, 0}, {0.75, 1, 0.875, 0.5}, {0.8, 1, 1.5, 1},
	} {
		if got := (&Trigger{From: tc.from, Full: tc.full}).share(tc.pressure); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
}

// Actions follow the pressure, each the trigger that asks for most of it.
func TestManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory, cpu atomic.Int64 // in percent
		of := func(percent *atomic.Int64) func() (float64, error) {
			return func() (float64, error) { return float64(percent.Load()) / 100, nil }
		}
		m := New(Config{Every: time.Second, Monitors: []Monitor{
			{"memory", of(&memory)}, {"cpu", of(&cpu)}, {"broken", func() (float64, error) { return 1, errors.New("gone") }},
		}, Triggers: []Trigger{
			{Action: StopRequests, Monitor: "memory", From: 0.9}, {Action: StopRequests, Monitor: "cpu", From: 0.5, Full: 1}, {Action: StopKeepalive, Monitor: "memory", From: 0.8}, {Action: StopConnections, Monitor: "broken", From: 0.1},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		asked := func(a Action) (n int) {
			for range 1000 {
				if m.Asks(a) {
					n++
				}
			}
			return n
		}
		for _, tc := range []struct {
			memory, cpu         int64
			requests, keepalive [2]int
		}{
			{0, 0, [2]int{0, 0}, [2]int{0, 0}}, {85, 0, [2]int{0, 0}, [2]int{1000, 1000}}, {95, 0, [2]int{1000, 1000}, [2]int{1000, 1000}}, {0, 75, [2]int{350, 650}, [2]int{0, 0}}, {0, 0, [2]int{0, 0}, [2]int{0, 0}},
		} {
			memory.Store(tc.memory)
			cpu.Store(tc.cpu)
			time.Sleep(time.Second)
			synctest.Wait()
			if r, k := asked(StopRequests), asked(StopKeepalive); r < tc.requests[0] || r > tc.requests[1] || k < tc.keepalive[0] || k > tc.keepalive[1] || asked(StopConnections) > 0 {
				t.Errorf("%+v: %d requests, %d connections of 1,000", tc, r, k)
			}
		}
		cancel()
		<-done
	})
	var none *Manager
	if none.Asks(StopRequests) {
		t.Error("nobody asks for something")
	}
	none.Each(nil, nil)
}

// Timers follow the pressure, and connections are told when it matters.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var percent atomic.Int64
		told := 0
		c := Config{Every: time.Second, Monitors: []Monitor{{"memory", func() (float64, error) { return float64(percent.Load()) / 100, nil }}},
			Triggers: []Trigger{{Action: ReduceTimeouts, Monitor: "memory", From: 0.5, Full: 1}}, Changed: func() { told++ }}
		c.Timers[Idle] = &stream.Squeeze{Least: 2 * time.Second}
		m := New(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		for _, tc := range []struct {
			percent int64
			left    time.Duration // of 10 s
			told    int
		}{
			{0, 10 * time.Second, 0}, {75, 6 * time.Second, 1}, {76, 5840 * time.Millisecond, 1}, {80, 5200 * time.Millisecond, 2}, {100, 2 * time.Second, 3}, {100, 2 * time.Second, 3}, {0, 10 * time.Second, 4},
		} {
			percent.Store(tc.percent)
			time.Sleep(time.Second)
			synctest.Wait()
			if left := m.Timer(Idle).Of(10 * time.Second).Round(time.Millisecond); left != tc.left || told != tc.told {
				t.Errorf("%+v: left %v, told %d times", tc, left, told)
			}
		}
		if m.Timer(Age) != nil || (*Manager)(nil).Timer(Idle) != nil {
			t.Error("something is squeezed that is not configured")
		}
		cancel()
		<-done
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMonitors(t *testing.T) {
	if p, err := Heap(1)(); err != nil || p < 1000 {
		t.Errorf("heap: %v, %v", p, err)
	}
	if p, err := Heap(1 << 50)(); err != nil || p <= 0 || p > 0.01 {
		t.Errorf("heap: %v, %v", p, err)
	}
	dir := t.TempDir()
	write(t, dir, "memory.current", "600\n")
	for limit, want := range map[uint64]float64{0: 0, 1000: 0.6} {
		if p, err := Group(dir, limit)(); err != nil || p != want {
			t.Errorf("group with %d: %v, %v", limit, p, err)
		}
	}
	write(t, dir, "memory.max", "800\n")
	for limit, want := range map[uint64]float64{0: 0.75, 1000: 0.75, 700: 600.0 / 700} {
		if p, err := Group(dir, limit)(); err != nil || p != want {
			t.Errorf("group of 800 with %d: %v, %v", limit, p, err)
		}
	}
	if _, err := Group(filepath.Join(dir, "none"), 1)(); err == nil {
		t.Error("a group that is not there has a pressure")
	}
	cpu := HostCPU(dir)
	for i, tc := range []struct {
		stat string
		want float64
	}{{"cpu 100 0 0 100 0", 0}, {"cpu 200 0 0 100 0", 0.05}, {"cpu 200 0 0 150 50", 0.0475}} {
		write(t, dir, "stat", tc.stat+"\nintr 1\n")
		if p, err := cpu(); err != nil || p < tc.want-1e-9 || p > tc.want+1e-9 {
			t.Errorf("look %d: %v, %v; want %v", i, p, err, tc.want)
		}
	}
	write(t, dir, "stat", "nonsense\n")
	if _, err := cpu(); err == nil {
		t.Error("nonsense has a pressure")
	}
}

func TestGroupCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "cpu.max", "50000 100000\n")
		write(t, dir, "cpu.stat", "usage_usec 0\nuser_usec 0\n")
		cpu := GroupCPU(dir)
		if _, err := cpu(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		write(t, dir, "cpu.stat", "usage_usec 250000\nuser_usec 0\n") // half of half a processor
		if p, err := cpu(); err != nil || p < 0.0249 || p > 0.0251 {
			t.Errorf("got %v, %v", p, err)
		}
	})
}
