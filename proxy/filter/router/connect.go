package router

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/pool"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// What a handshake offers when nothing else says so.
var (
	offerHTTP1 = []string{"http/1.1"}
	offerHTTP2 = []string{"h2"}
	offerBoth  = []string{"h2", "http/1.1"}
)

// connect gets a connection to the host, or a place on one.
func (a *attempt) connect(req *stream.Request) (failure, error) {
	ask := a.tlsRequest(req)
	req.Info.UpstreamAsked, req.Info.UpstreamWait = true, 0
	var why failure
	var err error
	if ask.Shared && !(a.cluster.Protocol == cluster.Negotiated && a.host.Pool().Alone()) {
		why, err = a.share(req, ask)
	} else {
		why, err = a.own(req, ask)
	}
	if why != 0 {
		return why, err
	}
	if carrier, shared := a.conn.Codec.(*http2.Client); shared {
		a.client, a.shared = carrier.Exchange(), true
	} else {
		client, _ := a.conn.Codec.(*http1.Client)
		if client == nil {
			client = http1.NewClient(a.cluster.Stats.Traffic.Conn(a.conn.Conn), http1.Limits{MaxHeaders: a.cluster.MostFields})
			a.conn.Codec = client
		}
		a.client, a.shared = client, false
	}
	a.note(req)
	return 0, nil
}

// waited notes how long a connection was waited for.
func waited(i *stream.Info, since time.Time) { i.UpstreamWait = time.Since(since) }

// own gets a connection that nobody else uses meanwhile.
func (a *attempt) own(req *stream.Request, ask pool.TLSRequest) (failure, error) {
	now := a.began
	if a.tries > 1 {
		now = time.Now()
	}
	if a.conn = a.host.Pool().Idle(ask, now); a.conn != nil {
		return 0, nil
	}
	defer waited(req.Info, time.Now())
	for a.conn == nil {
		if p := a.breaker.AcquireConnectionTo(a.host); p != nil {
			return a.open(req, ask, p)
		}
		if a.host.Pool().DropIdle() {
			continue
		}
		if !a.breaker.AcquirePending() {
			return failedOverflow, nil
		}
		why := a.queue(req, func(gone <-chan struct{}) (inTime bool) {
			a.conn, inTime = a.host.Pool().Wait(ask, a.deadline, gone)
			return inTime
		})
		if why != 0 {
			return why, nil
		}
		if a.conn == nil {
			a.conn = a.host.Pool().Idle(ask, time.Now())
		}
	}
	return 0, nil
}

// queue waits for a connection, or a place on one, until the request is over. A client
// that goes leaves the queue.
func (a *attempt) queue(req *stream.Request, wait func(gone <-chan struct{}) (inTime bool)) failure {
	defer a.breaker.ReleasePending()
	gone := stream.NewAlarm()
	if !req.Waiting.On(gone) {
		return givenUp(req)
	}
	defer req.Waiting.Off()
	if wait(gone) {
		return 0
	}
	return cmp.Or(givenUp(req), failedTimeout)
}

// share gets a place on a connection that others use too. Where the handshake
// decides and decides for HTTP/1.1, the connection is not shared after all.
func (a *attempt) share(req *stream.Request, ask pool.TLSRequest) (failure, error) {
	p := a.host.Pool()
	if a.conn = p.Place(ask); a.conn != nil {
		return 0, nil
	}
	defer waited(req.Info, time.Now())
	for {
		if a.conn = p.Place(ask); a.conn != nil {
			return 0, nil
		}
		if a.cluster.Protocol == cluster.Negotiated {
			if a.conn = p.Idle(ask, time.Now()); a.conn != nil {
				return 0, nil
			}
		}
		turn := p.Turn()
		if a.conn = p.Place(ask); a.conn != nil { // it came free meanwhile
			return 0, nil
		}
		lead, late, err := p.Join(ask, a.deadline)
		switch {
		case late:
			return failedTimeout, nil
		case err != nil:
			return a.unconnected(req, err), err
		case !lead:
			continue
		}
		if p := a.breaker.AcquireConnectionTo(a.host); p != nil {
			why, err := a.open(req, ask, p)
			if why == failedTimeout {
				err = nil // the others have time left: one of them tries again
			}
			p.Opened(ask, err)
			return why, err
		}
		p.Opened(ask, nil)
		if !a.breaker.AcquirePending() {
			return failedOverflow, nil
		}
		if why := a.queue(req, func(gone <-chan struct{}) bool { return p.Await(turn, a.deadline, gone) }); why != 0 {
			return why, nil
		}
	}
}

// open opens a connection, and puts it into use for others too if it speaks
// HTTP/2.
func (a *attempt) open(req *stream.Request, ask pool.TLSRequest, p *pool.Pool) (failure, error) {
	conn, err := a.dial(p, ask)
	if err != nil {
		return a.unconnected(req, err), err
	}
	a.conn, conn.State = conn, req.Shared()
	alone := a.cluster.Protocol == cluster.Negotiated && (conn.TLS == nil || !http2.Negotiated(conn.TLS.NegotiatedProtocol))
	p.SetAlone(alone)
	if ask.Shared && !alone {
		p.Carry(conn, a.cluster.Carrier(a.cluster.Stats.Traffic.Conn(conn.Conn), func() { p.Changed(conn) }))
	}
	return 0, nil
}

// unconnected notes why there is no connection.
func (a *attempt) unconnected(req *stream.Request, err error) failure {
	req.Info.UpstreamFailure = transportFailure(err)
	a.meant(req)
	return dialFailure(err, a.deadline)
}

func (a *attempt) dial(p *pool.Pool, ask pool.TLSRequest) (*pool.Conn, error) {
	ctx := context.Background()
	if !a.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, a.deadline)
		defer cancel()
	}
	return a.cluster.Connect(ctx, p, ask)
}

// tlsRequest is what the request wants of a connection.
func (a *attempt) tlsRequest(req *stream.Request) pool.TLSRequest {
	ask := pool.TLSRequest{Fallback: offerHTTP1, Ends: pool.EndsOf(req.Conn)}
	override := req.ALPN
	if a.cluster.KeepALPN {
		override = nil
	}
	switch p := a.cluster.Protocol; {
	case p == cluster.HTTP2, p == cluster.Downstream && req.Protocol == stream.HTTP2:
		ask.Shared, ask.Fallback = true, offerHTTP2
		if override != nil {
			ask.ALPN = override.HTTP2
		}
	case p == cluster.Negotiated && a.host.Secured():
		ask.Shared, ask.ALPN = true, offerBoth
	case override != nil:
		ask.ALPN = override.HTTP1
	}
	if a.cluster.AutoSNI || a.cluster.AutoSAN {
		name := strings.ToLower(req.Authority)
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
			name = name[:i]
		}
		if a.cluster.AutoSNI {
			ask.SNI = name
		}
		if a.cluster.AutoSAN {
			ask.VerifyName = name
		}
	}
	return ask
}

// meant tells the request's record which endpoint it is for, whether it gets there or
// not.
func (a *attempt) meant(req *stream.Request) {
	i := req.Info
	i.Upstream, i.UpstreamName, i.Described.Endpoint = a.host.Address, a.host.Name, a.host.Metadata()
}

// note tells the request's record who it goes to.
func (a *attempt) note(req *stream.Request) {
	a.meant(req)
	req.Info.UpstreamMTLS = a.host.MTLS
	if req.Info.UpstreamProtocol = "HTTP/1.1"; a.shared {
		req.Info.UpstreamProtocol = "HTTP/2"
	}
	if a.host.Peer != nil && req.Info.UpstreamPeer == nil {
		req.Info.UpstreamPeer = a.host.Peer
	}
	if local, ok := a.conn.LocalAddr().(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(local.IP)
		req.Info.UpstreamLocal = netip.AddrPortFrom(ip.Unmap(), uint16(local.Port))
	}
	req.Info.UpstreamTLS, req.Info.UpstreamShown, req.Info.UpstreamConnection, req.Info.UpstreamState = a.conn.TLS, a.conn.Shown, a.conn.ID, a.conn.State
	if t := a.conn.TLS; t != nil && len(t.PeerCertificates) > 0 && len(t.PeerCertificates[0].URIs) > 0 {
		req.Info.UpstreamURI = peerURI(t)
	}
}

func peerURI(t *tls.ConnectionState) string { return t.PeerCertificates[0].URIs[0].String() }
