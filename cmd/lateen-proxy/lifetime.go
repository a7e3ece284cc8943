package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/lateenmesh/lateen/proxy"
)

// outlive runs run with a context that ends only when ctx has ended and last
// has returned: what must still work while the process takes its leave.
func outlive(ctx context.Context, run func(context.Context) error, last func()) error {
	longer, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		last()
		stop()
	})()
	return run(longer)
}

// quiet is for how long nobody may have been served before a drain ends early.
const quiet = time.Second

// wait returns when a proxy that drains has served long enough: after the drain
// time, or earlier when nobody has been there for a while; with UntilIdle, when
// the last connection has gone. active counts connections.
func (d drain) wait(active func() int64) {
	const step = 50 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	var passed, idle time.Duration
	for range tick.C {
		passed += step
		if idle += step; active() > 0 {
			idle = 0
		}
		switch {
		case d.UntilIdle && passed >= d.Least && idle > 0:
			return
		case !d.UntilIdle && (passed >= d.Time || idle >= quiet):
			return
		}
	}
}

// onSignal calls do at each signal of a kind, until it reports that it was the last
// one or ctx ends.
func onSignal(ctx context.Context, kind os.Signal, do func() (last bool)) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, kind)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			if do() {
				return nil
			}
		}
	}
}

// reopenOnSignal opens log files anew at each SIGUSR1, for log rotation.
func reopenOnSignal(ctx context.Context, p *proxy.Proxy) error {
	return onSignal(ctx, syscall.SIGUSR1, func() bool { p.ReopenLogs(); return false })
}

// concurrency bounds the CPUs that are used at once; 0 leaves it to the machine
// and the process's CPU limit.
func concurrency(n int) {
	if n > 0 {
		runtime.GOMAXPROCS(n)
	}
}

// logger writes to standard error from levels on.
func logger(word string) (*slog.Logger, *slog.LevelVar, error) {
	l, err := level(word)
	if err != nil {
		return nil, nil, err
	}
	levels := &slog.LevelVar{}
	levels.Set(l)
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: levels})), levels, nil
}
