package ondemand

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// A request waits until its cluster is there, until it is known that there is none,
// until its time is over or until it is given up; no longer.
func TestWait(t *testing.T) {
	for _, tc := range []struct {
		name   string
		after  func(h *cluster.Handle, req *stream.Request)
		header bool
		took   time.Duration
	}{
		{"it comes", func(h *cluster.Handle, _ *stream.Request) { h.Store(cluster.New(&cluster.Config{}, cluster.Deps{})) }, false, time.Second},
		{"it comes, named by the request", func(h *cluster.Handle, _ *stream.Request) {
			h.Store(cluster.New(&cluster.Config{}, cluster.Deps{}))
		}, true, time.Second},
		{"there is none", func(h *cluster.Handle, _ *stream.Request) { h.Decide() }, false, time.Second},
		{"nothing is heard", func(*cluster.Handle, *stream.Request) {}, false, 3 * time.Second},
		{"the client leaves", func(_ *cluster.Handle, req *stream.Request) { req.Waiting.Abandon(stream.DownstreamTermination) }, false, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := cluster.NewHandle("far")
				req := &stream.Request{Info: &stream.Info{}}
				f := &Filter{Forward: &route.Forward{Clusters: []route.Weighted{{Cluster: h}}}, Timeout: 3 * time.Second, Ask: func(name string) *cluster.Handle {
					if name != "far" {
						t.Errorf("asked for %s", name)
					}
					time.AfterFunc(time.Second, func() { tc.after(h, req) })
					return h
				}}
				if tc.header {
					f.Forward = &route.Forward{ClusterHeader: "x-cluster", Lookup: func(string) *cluster.Handle { return nil }}
					req.Header.Set("x-cluster", "far")
				}
				start, answered := time.Now(), false
				_, _ = f.Handle(req, next(func() { answered = true }))
				if took := time.Since(start); took != tc.took || !answered {
					t.Errorf("went on after %v, %v; want %v", took, answered, tc.took)
				}
			})
		})
	}
	// One that is there, or that nobody may ask for, is not waited for.
	there := cluster.NewHandle("near")
	there.Store(cluster.New(&cluster.Config{}, cluster.Deps{}))
	for _, h := range []*cluster.Handle{there, cluster.NewHandle("far")} {
		f := &Filter{Forward: &route.Forward{Clusters: []route.Weighted{{Cluster: h}}}, Timeout: time.Hour, Ask: func(string) *cluster.Handle { return nil }}
		_, _ = f.Handle(&stream.Request{Info: &stream.Info{}}, next(func() {}))
	}
}

// next is what stands behind the filter.
type next func()

func (n next) Handle(*stream.Request) (*stream.Response, error) {
	n()
	return nil, nil
}

// Of several clusters a request waits for the one that it goes to.
func TestWeights(t *testing.T) {
	near, far := cluster.NewHandle("near"), cluster.NewHandle("far")
	near.Store(cluster.New(&cluster.Config{}, cluster.Deps{}))
	asked := ""
	f := &Filter{Forward: &route.Forward{Clusters: []route.Weighted{{Cluster: near, Weight: 1}, {Cluster: far, Weight: 1}}}, Ask: func(name string) *cluster.Handle {
		asked = name
		return nil
	}}
	for range 100 {
		asked = ""
		req := &stream.Request{Info: &stream.Info{}}
		_, _ = f.Handle(req, next(func() {
			if goes := f.Forward.Draw(req).Cluster; (asked == "far") != (goes == far) {
				t.Errorf("asked for %q and goes to %s", asked, goes.Name())
			}
		}))
	}
}

// A request that no virtual host takes begins anew when one has come, and is answered
// when there is none or when it is given up.
func TestHosts(t *testing.T) {
	known := func(ask func(string) <-chan struct{}, domains ...string) *route.Table {
		table, err := route.New(route.Config{Hosts: []*route.VirtualHost{{Domains: domains}}, Ask: ask})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	for _, tc := range []struct {
		name     string
		after    func(tables *route.Current, come chan struct{}, req *stream.Request)
		anew     bool
		answered bool
		took     time.Duration
	}{
		{"it comes", func(tables *route.Current, come chan struct{}, _ *stream.Request) {
			tables.Store(known(nil, "a.test"))
			close(come)
		}, true, false, time.Second},
		{"there is none", func(_ *route.Current, come chan struct{}, _ *stream.Request) { close(come) }, false, true, time.Second},
		{"the filters are replaced", func(tables *route.Current, come chan struct{}, _ *stream.Request) {
			tables.Replace()
			close(come)
		}, true, false, time.Second},
		{"it has come before it was asked for", nil, true, false, 0},
		{"the request is given up", func(_ *route.Current, _ chan struct{}, req *stream.Request) {
			req.Waiting.Abandon(stream.StreamIdleTimeout)
		}, false, false, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tables route.Current
				req := &stream.Request{Authority: "a.test", Info: &stream.Info{}}
				req.Arrival.Note(time.Now())
				tables.Store(known(func(host string) <-chan struct{} {
					if host != "a.test" {
						t.Errorf("asked for %s", host)
					}
					if tc.after == nil {
						tables.Store(known(nil, "a.test"))
						return nil
					}
					come := make(chan struct{})
					time.AfterFunc(time.Second, func() { tc.after(&tables, come, req) })
					return come
				}, "own.test"))
				start, answered := time.Now(), false
				_, err := (&Hosts{Table: &tables}).Handle(req, next(func() { answered = true }))
				if anew := stream.AsRedirected(err) != nil; anew != tc.anew || answered != tc.answered || time.Since(start) != tc.took {
					t.Errorf("anew %v, answered %v after %v, %v", anew, answered, time.Since(start), err)
				}
				if err != nil && !tc.anew && stream.AsRefusal(err).Status != 504 {
					t.Errorf("refused with %v", err)
				}
			})
		})
	}
	// A host that is known, and one of a table that is all, is not asked for.
	var tables route.Current
	for _, table := range []*route.Table{nil, known(nil, "own.test"), known(func(string) <-chan struct{} { panic("asked") }, "a.test")} {
		tables.Store(table)
		if _, err := (&Hosts{Table: &tables}).Handle(&stream.Request{Authority: "a.test", Info: &stream.Info{}}, next(func() {})); err != nil {
			t.Error(err)
		}
	}
}
