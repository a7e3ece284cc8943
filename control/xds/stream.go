package xds

import (
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lateenmesh/lateen/control/mesh"
	"github.com/lateenmesh/lateen/model"
)

var errStopping = status.Error(codes.Unavailable, "the control plane is stopping: connect again")

// stream is one client's connection. Its goroutine owns it; the debug pages
// may look at the planner.
type stream struct {
	server  *Server
	grpc    grpc.ServerStream
	variant Variant
	proxy   mesh.Proxy
	caller  model.Identity
	feed    mesh.Feed
	opened  time.Time

	mu      sync.Mutex
	planner *Planner // guarded by mu

	changed time.Time // when the change came that is still being sent; zero when all is quiet
}

// run feeds the planner with requests and snapshots and sends what it says. A
// client that does not read blocks only its own stream; when it reads again,
// it gets one difference for everything that has changed meanwhile.
func (st *stream) run(first Request, recv receive) error {
	requests := make(chan Request)
	ended := make(chan error, 1)
	st.server.wait.Go(func() { ended <- st.read(recv, requests) })
	if err := st.request(first); err != nil {
		return err
	}
	var patience <-chan time.Time
	for {
		if !st.waiting() {
			patience = nil
		} else if patience == nil {
			patience = time.After(st.server.config.Patience)
		}
		var err error
		select {
		case r := <-requests:
			err = st.request(r)
		case <-st.feed.Changed():
			err = st.refresh()
		case <-patience:
			patience = nil
			st.locked(func(p *Planner) { p.StopWaiting() })
			err = st.flush()
		case err := <-ended:
			return err
		case <-st.server.ending:
			return errStopping
		}
		if err != nil {
			return err
		}
	}
}

// read hands requests over until the stream ends.
func (st *stream) read(recv receive, requests chan<- Request) error {
	for {
		_, r, err := recv()
		if err != nil {
			return err
		}
		select {
		case requests <- r:
		case <-st.grpc.Context().Done():
			return st.grpc.Context().Err()
		}
	}
}

// request takes one request and sends what follows from it.
func (st *stream) request(r Request) error {
	if r.Type == "" {
		return status.Error(codes.InvalidArgument, "a request has no type URL")
	}
	var rejected *Rejection
	var stale bool
	var relented []*mesh.Resource
	st.locked(func(p *Planner) {
		rejected, stale = p.Request(r)
		relented = p.Relented()
	})
	if stale {
		st.server.metrics.staleNonces.Inc(kind(r.Type))
	}
	if rejected != nil {
		st.report(*rejected)
	}
	if len(relented) > 0 && st.server.config.Relented != nil {
		st.server.config.Relented(st.proxy, relented)
	}
	return st.flush()
}

// report tells whoever wants to know that the client refused something.
func (st *stream) report(r Rejection) {
	st.server.metrics.rejects.Inc(kind(r.Type))
	st.server.metrics.rejectedTyped.Inc(kind(r.Type))
	var names []string
	for _, c := range r.Culprits {
		names = append(names, c.Name)
	}
	st.server.config.Log.Warn("proxy refused configuration", "proxy", st.name(), "type", kind(r.Type), "resources", names, "error", r.Text)
	if st.server.config.Rejected != nil {
		st.server.config.Rejected(st.proxy, r)
	}
}

// refresh takes the newest snapshot and sends what changed.
func (st *stream) refresh() error {
	if st.changed.IsZero() {
		st.changed = time.Now()
	}
	snap := st.view()
	st.locked(func(p *Planner) { p.Snapshot(snap) })
	return st.flush()
}

// flush sends what the planner has to say.
func (st *stream) flush() error {
	for {
		var r Response
		var ok, quiet bool
		st.locked(func(p *Planner) {
			if r, ok = p.Next(); !ok {
				quiet = p.Quiet()
			}
		})
		if !ok {
			if quiet && !st.changed.IsZero() {
				st.server.metrics.convergence.Observe(time.Since(st.changed).Seconds())
				st.changed = time.Time{}
			}
			return nil
		}
		if err := st.send(message{st.variant, r}); err != nil {
			return err
		}
	}
}

func (st *stream) send(m message) error {
	start, k := time.Now(), kind(m.Type)
	if err := st.grpc.SendMsg(m); err != nil {
		return err
	}
	st.server.metrics.pushes.Inc(k)
	st.server.metrics.resources.Add(k, float64(len(m.Resources)))
	st.server.metrics.size.Observe(float64(m.size()))
	st.server.metrics.sendTime.Observe(time.Since(start).Seconds())
	return nil
}

// view is the feed's newest snapshot as this caller may see it: who did not
// prove an identity sees no secrets.
func (st *stream) view() *mesh.Snapshot {
	snap := st.feed.Snapshot()
	if !st.caller.IsZero() || snap.Tables[mesh.SecretType].Len() == 0 {
		return snap
	}
	public := &mesh.Snapshot{Epoch: snap.Epoch, Tables: maps.Clone(snap.Tables)}
	delete(public.Tables, mesh.SecretType)
	return public
}

func (st *stream) waiting() (yes bool) {
	st.locked(func(p *Planner) { yes = p.Waiting() })
	return yes
}

func (st *stream) locked(do func(*Planner)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	do(st.planner)
}

// name is the proxy's name as Istio's pages show it: NAME.NAMESPACE.
func (st *stream) name() string { return st.proxy.Name + "." + st.proxy.Namespace }
