package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// loadOf is what loads a contender in a scenario.
func loadOf(address string, conns int, certs certificates, sc scenario) interface {
	run(time.Duration) (int, error)
} {
	l := newLoader(address, conns, certs, sc)
	switch {
	case sc.grpc:
		return h2load{address}
	case sc.tcp:
		return bulk{address}
	case sc.rate > 0:
		return &paced{loader: l, rate: sc.rate}
	}
	return l
}

// paced sends requests at a fixed rate and notes how long after its time each was
// answered, so that a late one counts as late.
type paced struct {
	*loader
	rate  int
	taken []time.Duration // in the last run, ascending
}

func (p *paced) run(d time.Duration) (int, error) {
	step := time.Second * time.Duration(len(p.conns)) / time.Duration(p.rate)
	start := time.Now()
	taken, errs := make([][]time.Duration, len(p.conns)), make([]error, len(p.conns))
	var all sync.WaitGroup
	for i := range p.conns {
		all.Go(func() {
			if p.conns[i] == nil {
				if p.conns[i], errs[i] = p.dial(); errs[i] != nil {
					return
				}
			}
			due := start.Add(step * time.Duration(i) / time.Duration(len(p.conns)))
			for ; due.Before(start.Add(d)); due = due.Add(step) {
				time.Sleep(time.Until(due))
				if _, errs[i] = exchange(p.conns[i], time.Time{}); errs[i] != nil {
					return
				}
				taken[i] = append(taken[i], time.Since(due))
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	p.taken = slices.Concat(taken...)
	slices.Sort(p.taken)
	return len(p.taken), nil
}

// quantile of the last run, in microseconds.
func (p *paced) quantile(q float64) float64 {
	return float64(p.taken[int(q*float64(len(p.taken)-1))].Nanoseconds()) / 1e3
}

// pour sends as much as the connection takes.
func pour(conn net.Conn) {
	defer conn.Close()
	block := make([]byte, 256<<10)
	for {
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// bulk reads what comes on four connections.
type bulk struct{ address string }

func (b bulk) run(d time.Duration) (int, error) {
	var got [4]int64
	var errs [4]error
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			conn, err := net.Dial("tcp", b.address)
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(d)); err != nil {
				errs[i] = err
				return
			}
			got[i], _ = io.CopyBuffer(io.Discard, struct{ io.Reader }{conn}, make([]byte, 256<<10)) // ends with the deadline
		})
	}
	all.Wait()
	var total int64
	for i := range got {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += got[i]
	}
	if total == 0 {
		return 0, fmt.Errorf("nothing came from %s", b.address)
	}
	return int(total / 1_000_000), nil
}
