// Package fromenvoy reads addresses of Envoy's configuration.
package fromenvoy

import (
	"io/fs"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/socket"
)

// Address reads where somebody listens.
func Address(m *corev3.Address) (socket.Address, error) {
	switch a := m.GetAddress().(type) {
	case *corev3.Address_Pipe:
		return socket.Address{Path: a.Pipe.GetPath(), Mode: fs.FileMode(a.Pipe.GetMode()) & fs.ModePerm}, nil
	case *corev3.Address_SocketAddress:
		if p := a.SocketAddress.GetProtocol(); p != corev3.SocketAddress_TCP {
			return socket.Address{}, fieldcheck.Refuse("socket_address.protocol", "%s is not supported", p)
		}
		ip, err := netip.ParseAddr(a.SocketAddress.GetAddress())
		if err != nil {
			return socket.Address{}, fieldcheck.Refuse("socket_address.address", "%q is not an IP address", a.SocketAddress.GetAddress())
		}
		return socket.Address{AddrPort: netip.AddrPortFrom(ip, uint16(a.SocketAddress.GetPortValue()))}, nil
	default:
		return socket.Address{}, fieldcheck.Refuse("", "is of a kind that is not supported, write socket_address or pipe")
	}
}
