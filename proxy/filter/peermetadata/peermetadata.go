// Package peermetadata lets the two ends of a call tell each other who they are,
// in two header fields, for metrics and logs. It stands outermost: whatever
// answers, the caller learns who it was.
package peermetadata

import (
	"strings"
	"sync"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// The header fields, each way.
const (
	header   = "x-envoy-peer-metadata"
	headerID = "x-envoy-peer-metadata-id"
)

// Filter discovers and tells. Discover and Propagate name the downstream and
// the upstream side.
type Filter struct {
	DiscoverDownstream, DiscoverUpstream   bool
	PropagateDownstream, PropagateUpstream bool
	// External reports that a cluster is outside the mesh and is told nothing;
	// nil is never.
	External func(cluster string) bool
	// Metadata and ID are what is told of this proxy.
	Metadata, ID string
	// Known remembers decoded peers, shared by all filters of a proxy.
	Known *Peers
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	if f.DiscoverDownstream {
		if value := req.Header.Get(header); value != "" {
			req.Info.DownstreamPeer = f.Known.Decode(value)
		}
		req.Header.Del(header)
		req.Header.Del(headerID)
	}
	if f.PropagateUpstream {
		req.Header.Set(header, f.Metadata)
		req.Header.Set(headerID, f.ID)
	}
	resp, err := next.Handle(req)
	if err == nil && f.DiscoverUpstream {
		if value := resp.Header.Get(header); value != "" {
			req.Info.UpstreamPeer = f.Known.Decode(value)
		}
		resp.Header.Del(header)
		resp.Header.Del(headerID)
	}
	if !f.PropagateDownstream {
		return resp, err
	}
	// The caller learns who refused, too.
	return stream.OnHead(resp, err, func(resp *stream.Response) {
		resp.Header.Set(header, f.Metadata)
		resp.Header.Set(headerID, f.ID)
	})
}

// Peers remembers what header values mean: a proxy has few peers, and each
// sends the same value with every message.
type Peers struct {
	mu    sync.RWMutex // guards known
	known map[string]*stream.Peer
}

// maxPeers bounds what is remembered; values come from outside.
const maxPeers = 4096

// Decode gives the peer that a header value describes, nil when it describes
// none.
func (p *Peers) Decode(value string) *stream.Peer {
	return p.learn(value, func() (stream.Peer, error) { return Decode(value) })
}

// learn gives the peer that a key stands for, nil for none.
func (p *Peers) learn(key string, decode func() (stream.Peer, error)) *stream.Peer {
	p.mu.RLock()
	peer, found := p.known[key]
	p.mu.RUnlock()
	if found {
		return peer
	}
	if decoded, err := decode(); err == nil {
		peer = &decoded
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxPeers {
		p.known = map[string]*stream.Peer{}
	}
	p.known[strings.Clone(key)] = peer
	return peer
}

var _ stream.Filter = (*Filter)(nil)
