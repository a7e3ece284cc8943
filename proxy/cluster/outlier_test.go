package cluster

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sweeping makes each host serve as many requests as are said, of which so many
// fail, lets the interval end, and gives the hosts that are out then.
func sweeping(c *Cluster, all int, failed ...int) []int {
	for i, h := range c.Hosts() {
		for n := range all {
			outcome := OK
			if n < failed[i] {
				outcome = ServerError
			}
			c.Report(h, outcome, time.Now)
		}
	}
	time.Sleep(c.Outlier.Interval)
	c.Report(c.Hosts()[0], OK, time.Now)
	var out []int
	for i, h := range c.Hosts() {
		if h.Ejected(time.Now()) {
			out = append(out, i)
		}
	}
	return out
}

func same(a []int, b ...int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A host that fails more often than the others is taken out, if enough of them
// have served enough.
func TestSuccessRate(t *testing.T) {
	o := Outlier{Interval: 10 * time.Second, BaseEjection: time.Minute, MaxEjection: time.Minute, MaxEjectionPercent: 100, SuccessRate: Rate{Enforce: 100, Hosts: 5, Volume: 100, Deviation: 1.9}}
	for name, tc := range map[string]struct {
		change func(*Outlier)
		all    int
		failed []int
		out    []int
	}{
		"one":              {nil, 100, []int{0, 0, 0, 0, 40}, []int{4}},
		"none":             {nil, 100, []int{1, 1, 1, 1, 1}, nil},
		"all alike":        {nil, 100, []int{90, 90, 90, 90, 90}, nil},
		"too few requests": {nil, 99, []int{0, 0, 0, 0, 40}, nil},
		"too few hosts":    {nil, 100, []int{0, 0, 0, 40}, nil},
		"not enforced":     {func(o *Outlier) { o.SuccessRate.Enforce = 0 }, 100, []int{0, 0, 0, 0, 40}, nil},
		"two of eight":     {func(o *Outlier) { o.SuccessRate.Deviation = 1 }, 100, []int{0, 0, 0, 0, 0, 0, 50, 60}, []int{6, 7}},
		"threshold": {func(o *Outlier) {
			o.SuccessRate.Enforce, o.FailurePercentage = 0, Rate{Enforce: 100, Hosts: 1, Volume: 50, Threshold: 85}
		}, 100, []int{84, 85, 100}, []int{1, 2}},
		"threshold, few": {func(o *Outlier) {
			o.SuccessRate.Enforce, o.FailurePercentage = 0, Rate{Enforce: 100, Hosts: 4, Volume: 50, Threshold: 85}
		}, 100, []int{84, 85, 100}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				own := o
				if tc.change != nil {
					tc.change(&own)
				}
				c := New(&Config{Endpoints: endpointsOf(len(tc.failed), nil), Outlier: &own}, Deps{})
				c.Report(c.Hosts()[0], OK, time.Now) // the interval begins
				if got := sweeping(c, tc.all, tc.failed...); !same(got, tc.out...) {
					t.Errorf("out are %v; want %v", got, tc.out)
				}
				time.Sleep(time.Minute)
				if got := sweeping(c, tc.all, make([]int, len(tc.failed))...); len(got) != 0 {
					t.Errorf("%v are out though nothing failed since", got)
				}
			})
		})
	}
}

// Failures of our own count apart where they are told apart.
func TestLocalRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &Outlier{Interval: time.Second, BaseEjection: time.Minute, MaxEjectionPercent: 100, SplitLocal: true, LocalPercentage: Rate{Enforce: 100, Hosts: 2, Volume: 10, Threshold: 50}, FailurePercentage: Rate{Enforce: 100, Hosts: 2, Volume: 10, Threshold: 50}}
		c := New(&Config{Endpoints: endpointsOf(3, nil), Outlier: o}, Deps{})
		c.Report(c.Hosts()[0], OK, time.Now)
		for n := range 20 {
			c.Report(c.Hosts()[0], OK, time.Now)
			c.Report(c.Hosts()[1], []Outcome{OK, LocalFailure, LocalFailure}[n%3], time.Now)
			c.Report(c.Hosts()[2], []Outcome{OK, ServerError, ServerError}[n%3], time.Now)
		}
		time.Sleep(time.Second)
		c.Report(c.Hosts()[0], OK, time.Now)
		if h := c.Hosts(); h[0].Ejected(time.Now()) || !h[1].Ejected(time.Now()) || !h[2].Ejected(time.Now()) {
			t.Errorf("%d are out", c.Ejected(time.Now()))
		}
	})
}

// So many percent of the hosts may be out, and not one more, unless one always
// may.
func TestMaxEjectionPercent(t *testing.T) {
	for _, tc := range []struct {
		percent uint32
		always  bool
		hosts   int
		out     int
	}{{10, false, 3, 0}, {10, true, 3, 1}, {50, false, 2, 1}, {50, false, 3, 1}, {100, false, 3, 3}, {0, false, 3, 0}, {0, true, 3, 1}} {
		c := New(&Config{Endpoints: endpointsOf(tc.hosts, nil), Outlier: &Outlier{Consecutive5xx: 1, Enforce5xx: 100, BaseEjection: time.Minute, MaxEjectionPercent: tc.percent, AlwaysOne: tc.always}}, Deps{})
		for _, h := range c.Hosts() {
			c.Report(h, ServerError, time.Now)
		}
		if got := c.Ejected(time.Now()); got != tc.out || c.Stats.EjectionsTotal.Load() != int64(tc.out) || c.Stats.EjectionsOverflow.Load() != int64(tc.hosts-tc.out) {
			t.Errorf("%+v: %d are out", tc, got)
		}
	}
}

// An endpoint that has behaved for a while is out for a shorter time again.
func TestEjectionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(&Config{Endpoints: endpointsOf(1, nil), Outlier: &Outlier{Consecutive5xx: 1, Enforce5xx: 100, Interval: time.Minute, BaseEjection: time.Minute, MaxEjection: time.Hour, MaxEjectionPercent: 100}}, Deps{})
		h := c.Hosts()[0]
		for _, step := range []struct{ well, out time.Duration }{{0, time.Minute}, {time.Second, 2 * time.Minute}, {time.Minute, 2 * time.Minute}, {time.Hour, time.Minute}} {
			time.Sleep(step.well)
			c.Report(h, ServerError, time.Now)
			time.Sleep(step.out - time.Nanosecond)
			if !h.Ejected(time.Now()) {
				t.Errorf("after %v: it is in use again too early", step.well)
			}
			if time.Sleep(time.Nanosecond); h.Ejected(time.Now()) {
				t.Errorf("after %v: it is out for longer than %v", step.well, step.out)
			}
		}
	})
}

// Failures are in a row while nothing else comes between.
func TestFailuresInARow(t *testing.T) {
	o := Outlier{ConsecutiveGateway: 3, EnforceGateway: 100, ConsecutiveLocal: 3, EnforceLocal: 100, SplitLocal: true, BaseEjection: time.Minute, MaxEjectionPercent: 100}
	const gateway, server, local = GatewayError, ServerError, LocalFailure
	for _, tc := range []struct {
		row []Outcome
		out bool
	}{
		{[]Outcome{gateway, gateway, gateway}, true},
		{[]Outcome{gateway, gateway, server, gateway}, false},
		{[]Outcome{gateway, gateway, OK, gateway}, false},
		{[]Outcome{gateway, gateway, local, gateway}, true}, // no answer is no other answer
		{[]Outcome{local, local, local}, true},
		{[]Outcome{local, local, server, local}, false},
		{[]Outcome{local, local, gateway, local}, false},
		{[]Outcome{local, local, Unknown, local}, true},
	} {
		c := New(&Config{Endpoints: endpointsOf(1, nil), Outlier: &o}, Deps{})
		for _, outcome := range tc.row {
			c.Report(c.Hosts()[0], outcome, time.Now)
		}
		if got := c.Ejected(time.Now()) == 1; got != tc.out {
			t.Errorf("%v: out %v", tc.row, got)
		}
	}
}

// Hosts that fail at once are not all taken out where one may be.
func TestEjectionsAtOnce(t *testing.T) {
	for range 10 {
		c := New(&Config{Endpoints: endpointsOf(3_000, nil), Outlier: &Outlier{Consecutive5xx: 1, Enforce5xx: 100, BaseEjection: time.Minute, AlwaysOne: true}}, Deps{})
		var reports sync.WaitGroup
		begin := make(chan struct{})
		for _, h := range c.Hosts()[:10] {
			reports.Go(func() {
				<-begin
				c.Report(h, ServerError, time.Now)
			})
		}
		close(begin)
		reports.Wait()
		if got := c.Ejected(time.Now()); got != 1 {
			t.Fatalf("%d are out; want one", got)
		}
	}
}
