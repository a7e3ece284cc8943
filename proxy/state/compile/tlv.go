package compile

import (
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/pool"
)

// passedTLVs says by type which values of a PROXY header are passed on; nil is none.
func passedTLVs(m *corev3.ProxyProtocolPassThroughTLVs) func(byte) bool {
	if m == nil {
		return nil
	}
	if m.GetMatchType() == corev3.ProxyProtocolPassThroughTLVs_INCLUDE_ALL {
		return func(byte) bool { return true }
	}
	var wanted [256]bool
	for _, kind := range m.GetTlvType() {
		wanted[byte(kind)] = true
	}
	return func(kind byte) bool { return wanted[kind] }
}

// proxiedTransport compiles a transport that begins with a PROXY header.
func proxiedTransport(m *corev3.ProxyProtocolConfig, behind pool.TLS) (*pool.Proxied, error) {
	out := &pool.Proxied{Version: 1, TLS: behind}
	added, err := addedTLVs(m.GetAddedTlvs())
	if m.GetVersion() == corev3.ProxyProtocolConfig_V2 {
		out.Version, out.Added, out.Pass = 2, added, passedTLVs(m.GetPassThroughTlvs())
	}
	return out, err
}

// mostAdded bounds what a header's own values take, so that a client's have room
// beside them.
const mostAdded = 32 << 10

func addedTLVs(list []*corev3.TlvEntry) ([]proxyproto.TLV, error) {
	var out []proxyproto.TLV
	size := 0
	for _, e := range list {
		if size += 3 + len(e.GetValue()); size > mostAdded {
			return nil, fieldcheck.Refuse("added_tlvs", "takes more than %d bytes", mostAdded)
		}
		out = append(out, proxyproto.TLV{Type: proxyproto.PP2Type(e.GetType()), Value: e.GetValue()})
	}
	return out, nil
}

// tlvMetadata is where an endpoint's metadata has values of its own.
const tlvMetadata = "envoy.transport_sockets.proxy_protocol"

// hostTLVs are the transports of endpoints that have values of their own: the same
// one as long as the values are the same, so that an update keeps connections.
type hostTLVs struct {
	mu   sync.Mutex
	made map[hostTLV]*pool.Proxied // guarded by mu
}

type hostTLV struct {
	of     *pool.Proxied
	values string
}

// ownTLVs puts the values of an endpoint's own before those of its transport, whose
// types they replace.
func (c *Cluster) ownTLVs(lb *endpointv3.LbEndpoint, e *cluster.Endpoint) error {
	packed := lb.GetMetadata().GetTypedFilterMetadata()[tlvMetadata]
	if packed == nil {
		return nil
	}
	m, err := unpack(packed)
	if err != nil {
		return err
	}
	own, ok := m.(*corev3.PerHostConfig)
	if !ok {
		return fieldcheck.Refuse("", "is a %s", m.ProtoReflect().Descriptor().FullName())
	}
	added, err := addedTLVs(own.GetAddedTlvs())
	if err != nil {
		return err
	}
	transport := e.TLS
	if transport == nil && !e.Plain {
		transport = c.Config.TLS
	}
	if p, ok := transport.(*pool.Proxied); ok && p.Version == 2 && len(added) > 0 {
		e.TLS, err = c.told.with(p, added)
	}
	return err
}

func (h *hostTLVs) with(p *pool.Proxied, added []proxyproto.TLV) (*pool.Proxied, error) {
	raw, err := proxyproto.JoinTLVs(added)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := hostTLV{p, string(raw)}
	if h.made[key] == nil {
		own := *p
		own.Added = append(added, slices.DeleteFunc(slices.Clone(p.Added), func(v proxyproto.TLV) bool {
			return slices.ContainsFunc(added, func(a proxyproto.TLV) bool { return a.Type == v.Type })
		})...)
		if h.made == nil {
			h.made = map[hostTLV]*pool.Proxied{}
		}
		h.made[key] = &own
	}
	return h.made[key], nil
}
