package compile

import (
	"net"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/http1"
	"github.com/lateenmesh/lateen/proxy/http2"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/stream"
	"github.com/lateenmesh/lateen/proxy/telemetry"
)

// codec serves connections in the protocol that their client speaks: what the
// handshake agreed on, or what the first bytes show.
type codec struct {
	http1 *http1.Server
	http2 *http2.Server
	// only is true when nothing but HTTP/2 is spoken.
	only bool
	// counters count the connections.
	counters *telemetry.Manager
}

// Serve implements [listener.Handler].
func (c *codec) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	c.counters.Connected()
	defer c.counters.Disconnected(facts.Start)
	if c.only || facts.TLS != nil && http2.Negotiated(facts.TLS.ALPN) {
		c.http2.Serve(conn, facts, drain)
		return
	}
	c.http1.Serve(conn, facts, drain)
}

// given is what a connection manager gives its codecs beside their own settings.
type given struct {
	// last reports whether connections are to end with their request under pressure; it
	// may be nil.
	last     func() bool
	squeezes stream.Squeezes
	// rewrite changes the replies that codecs make; nil leaves them.
	rewrite func(*stream.Request, *stream.Refusal) *stream.Refusal
}

// newCodec compiles the protocols of a connection manager.
func newCodec(m *hcmv3.HttpConnectionManager, handler stream.Handler, observer stream.Observer, counters *telemetry.Manager, by given) (listener.Handler, error) {
	first, second := codecConfigs(m)
	first.Last, second.Last = by.last, by.last
	first.Rewrite, second.Rewrite = by.rewrite, by.rewrite
	first.Squeezes, second.Squeezes = by.squeezes, by.squeezes
	c := &codec{counters: counters, http2: http2.NewServer(second, handler, observer)}
	switch t := m.GetCodecType(); t {
	case hcmv3.HttpConnectionManager_AUTO:
		first.HTTP2 = c.http2.ServeFrom
	case hcmv3.HttpConnectionManager_HTTP1:
	case hcmv3.HttpConnectionManager_HTTP2:
		c.only = true
	default:
		return nil, fieldcheck.Refuse("codec_type", "%s is not supported, write AUTO, HTTP1 or HTTP2", t)
	}
	c.http1 = http1.NewServer(first, handler, observer)
	return c, nil
}

// codecConfigs are what a connection manager says of each protocol.
func codecConfigs(m *hcmv3.HttpConnectionManager) (http1.Config, http2.Config) {
	common := m.GetCommonHttpProtocolOptions()
	first := http1.Config{
		Limits: http1.Limits{
			MaxHead:    int(m.GetMaxRequestHeadersKb().GetValue()) << 10,
			MaxHeaders: int(common.GetMaxHeadersCount().GetValue()),
		},
		AcceptHTTP10:      m.GetHttpProtocolOptions().GetAcceptHttp_10(),
		DefaultHost:       m.GetHttpProtocolOptions().GetDefaultHostForHttp_10(),
		StreamIdleTimeout: 5 * time.Minute,
		StreamDuration:    common.GetMaxStreamDuration().AsDuration(),
		MaxDuration:       common.GetMaxConnectionDuration().AsDuration(),
		MaxRequests:       int(common.GetMaxRequestsPerConnection().GetValue()),
		Proxy100Continue:  m.GetProxy_100Continue(),
	}
	if d := common.GetIdleTimeout(); d != nil {
		first.IdleTimeout = never(d.AsDuration())
	}
	if d := m.GetRequestHeadersTimeout(); d != nil {
		first.HeadTimeout = never(d.AsDuration())
	}
	if d := m.GetStreamIdleTimeout(); d != nil {
		first.StreamIdleTimeout = d.AsDuration()
	}
	second := http2Config(m.GetHttp2ProtocolOptions())
	second.MaxHead, second.MaxHeaders = first.Limits.MaxHead, first.Limits.MaxHeaders
	second.IdleTimeout, second.HeadTimeout = first.IdleTimeout, first.HeadTimeout
	second.StreamIdleTimeout, second.MaxDuration = first.StreamIdleTimeout, first.MaxDuration
	second.StreamDuration, second.MaxRequests = first.StreamDuration, first.MaxRequests
	second.Upgrades = upgrades(m)
	return first, second
}

// upgrades are the protocols that may be changed to.
func upgrades(m *hcmv3.HttpConnectionManager) []string {
	var out []string
	for _, u := range m.GetUpgradeConfigs() {
		if u.GetEnabled() == nil || u.GetEnabled().GetValue() {
			out = append(out, u.GetUpgradeType())
		}
	}
	return out
}

// http2Config reads what is said of HTTP/2, either side. Upgrades by extended
// CONNECT are allowed where upgrades are.
func http2Config(o *corev3.Http2ProtocolOptions) http2.Config {
	out := http2.Config{
		MaxStreams:   o.GetMaxConcurrentStreams().GetValue(),
		StreamWindow: o.GetInitialStreamWindowSize().GetValue(),
		ConnWindow:   o.GetInitialConnectionWindowSize().GetValue(),
		Keepalive:    o.GetConnectionKeepalive().GetInterval().AsDuration(),
	}
	if d := o.GetConnectionKeepalive().GetTimeout(); d != nil {
		out.KeepaliveTimeout = d.AsDuration()
	}
	if n := o.GetHpackTableSize(); n != nil {
		out.TableSize = max(1, n.GetValue())
	}
	return out
}

// never turns 0, which switches a timeout off in Envoy's words, into a negative
// duration, which does so in the codecs'.
func never(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
