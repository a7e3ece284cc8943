// Package ondemand holds requests back whose cluster or whose virtual host is not
// there, while somebody is asked for it.
package ondemand

import (
	"math"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter asks for clusters that a route goes to.
type Filter struct {
	Forward *route.Forward
	// Ask asks for a cluster by its name and gives its handle; nil when there is no
	// place for another one.
	Ask     func(name string) *cluster.Handle
	Timeout time.Duration
}

// Handle implements [stream.Filter]. A cluster that does not come leaves the answer to
// the router.
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if name := f.Forward.ClusterHeader; name != "" {
		if wanted := req.Header.Get(name); wanted != "" && !there(f.Forward.Lookup(wanted)) {
			f.wait(req, wanted, f.Timeout)
		}
		return next.Handle(req)
	}
	if drawn := f.Forward.Draw(req); drawn != nil && !there(drawn.Cluster) {
		f.wait(req, drawn.Cluster.Name(), f.Timeout)
	}
	return next.Handle(req)
}

func there(h *cluster.Handle) bool { return h != nil && h.Load() != nil }

// wait waits until a cluster is there, it is known that there is none, or the time or
// the request is over.
func (f *Filter) wait(req *stream.Request, name string, limit time.Duration) {
	h := f.Ask(name)
	if h == nil {
		return
	}
	req.Waiting.Until(h.Decided(), limit)
}

var _ stream.Filter = (*Filter)(nil)

// Hosts asks for the virtual hosts of requests that no route takes.
type Hosts struct{ Table *route.Current }

// Handle implements [stream.Filter]. A request whose virtual host has come begins anew,
// as does one whose filters were replaced meanwhile, which look for it elsewhere; one
// that has none is left to what answers it. How long a request waits is bounded by what
// bounds it anyhow.
func (h *Hosts) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	t := h.Table.For(req)
	if t == nil || t.Ask == nil || t.Knows(req) {
		return next.Handle(req)
	}
	if come := t.Ask(req.Authority); come != nil && !req.Waiting.Until(come, forever) {
		return nil, req.GivenUp()
	}
	if t = h.Table.For(req); t != nil && t.Knows(req) || h.Table.Replaced() {
		return nil, &stream.Redirected{}
	}
	return next.Handle(req)
}

const forever = time.Duration(math.MaxInt64)

var _ stream.Filter = (*Hosts)(nil)
