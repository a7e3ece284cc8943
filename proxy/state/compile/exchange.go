package compile

import (
	"fmt"
	"net"

	mxv3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/network/metadata_exchange/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/peermetadata"
	"github.com/lateenmesh/lateen/proxy/listener"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func (c *Compiler) exchangeOf(m *mxv3.MetadataExchange) (*peermetadata.Exchange, error) {
	if p := m.GetProtocol(); p != peermetadata.Protocol {
		return nil, fieldcheck.Refuse("protocol", "%q is not supported, write %s", p, peermetadata.Protocol)
	}
	c.told.Do(func() { c.told.exchange, c.told.err = peermetadata.NewExchange(c.Self, c.NodeID, &c.peers) })
	return c.told.exchange, c.told.err
}

// unspoken are the protocols that a handshake must not agree on: the exchange of
// who is who where no filter makes it.
func unspoken(exchange *peermetadata.Exchange) []string {
	if exchange != nil {
		return nil
	}
	return []string{peermetadata.Protocol}
}

// exchangeIn is the exchange that a chain's filters make; nil for none.
func (c *Compiler) exchangeIn(list []*listenerv3.Filter) (*peermetadata.Exchange, error) {
	for i, f := range list {
		m, err := unpack(f.GetTypedConfig())
		mx, ok := m.(*mxv3.MetadataExchange)
		if err != nil || !ok {
			continue // its own error is told where it is compiled
		}
		exchange, err := c.exchangeOf(mx)
		return exchange, fieldcheck.At(fmt.Sprintf("[%d].typed_config", i), err)
	}
	return nil, nil
}

// introduced lets the ends of a connection tell each other who they are before a
// handler has it.
type introduced struct {
	exchange *peermetadata.Exchange
	next     listener.Handler
}

// Serve implements [listener.Handler].
func (h *introduced) Serve(conn net.Conn, facts *stream.Conn, drain <-chan struct{}) {
	if facts.TLS != nil && facts.TLS.ALPN == peermetadata.Protocol {
		told := h.exchange.Conn(conn)
		conn, facts.Told = told, told.Told
	}
	h.next.Serve(conn, facts, drain)
}
