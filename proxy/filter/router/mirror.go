package router

import (
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// mirrorTimeout bounds a copy whose answer nobody waits for.
const mirrorTimeout = 15 * time.Second

// mirror sends copies of the request. Requests whose body has not arrived as a
// whole are not mirrored: that would make the caller wait for the copy.
func (r *Router) mirror(req *stream.Request) {
	for i := range r.Mirrors {
		m := &r.Mirrors[i]
		c := mirrorCluster(m, req)
		if c == nil || !m.Share.Drawn() {
			continue
		}
		var body []byte
		if req.Body != nil {
			have := req.Body.Buffered()
			if int64(len(have)) != req.Length {
				continue
			}
			body = append(body, have...)
		}
		shadow := copyOf(req, m, body)
		// Bounded by its timeout; it holds nothing of the request.
		go send(c, shadow)
	}
}

// mirrorCluster is where a copy goes; nil where there is no such cluster.
func mirrorCluster(m *route.Mirror, req *stream.Request) *cluster.Cluster {
	handle := m.Cluster
	if m.ClusterHeader != "" {
		name := req.Header.Get(m.ClusterHeader)
		if name == "" || m.Lookup == nil {
			return nil
		}
		if handle = m.Lookup(strings.Clone(name)); handle == nil {
			return nil
		}
	}
	return handle.Load()
}

func copyOf(req *stream.Request, m *route.Mirror, body []byte) *stream.Request {
	s := detached(req, body)
	if !m.KeepHost {
		host, port, found := strings.Cut(s.Authority, ":")
		s.Authority = host + "-shadow"
		if found {
			s.Authority += ":" + port
		}
	}
	return s
}

// detached is a copy of a request, with a record of its own, that outlives it.
func detached(req *stream.Request, body []byte) *stream.Request {
	s := &stream.Request{
		Method: strings.Clone(req.Method), Scheme: strings.Clone(req.Scheme), Authority: strings.Clone(req.Authority), Path: strings.Clone(req.Path),
		Protocol: req.Protocol, Header: req.Header.Clone(), Length: req.Length, Conn: req.Conn, Info: &stream.Info{}, ALPN: req.ALPN,
	}
	if body != nil {
		s.Body = stream.NewBytes(body)
	}
	return s
}

func send(c *cluster.Cluster, req *stream.Request) {
	h := cluster.NewHandle(c.Name)
	h.Store(c)
	resp, err := New(route.Forward{Clusters: []route.Weighted{{Cluster: h}}, Timeout: mirrorTimeout}, Options{Suppress: true}).Handle(req)
	if err != nil {
		return // counted by the cluster
	}
	for resp.Body != nil && !resp.Body.Complete() {
		if resp.Body.Wait() != nil {
			resp.Done.Release(false)
			return
		}
		resp.Body.Discard(len(resp.Body.Buffered()))
	}
	resp.Done.Release(true)
}
