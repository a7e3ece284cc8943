// Package socket opens what the proxy listens at.
package socket

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
)

// Address is where somebody listens: at an IP address and port or, when Path is
// set, at a Unix socket.
type Address struct {
	netip.AddrPort
	// Path is that of a Unix socket; one that begins with "@" is abstract, in no file
	// system. Mode are the permissions of its file; 0 leaves them to the umask.
	Path string
	Mode fs.FileMode
}

// String is "ip:port" or the path.
func (a Address) String() string {
	if a.Path != "" {
		return a.Path
	}
	return a.AddrPort.String()
}

// IsValid reports whether it is an address at all.
func (a Address) IsValid() bool { return a.Path != "" || a.AddrPort.IsValid() }

// Open opens the socket of an address. The wildcard of IPv6 is for IPv6 alone. A
// Unix socket takes the place of one that lies there already, and stays when it is
// closed: a process that took it over may serve it.
func Open(a Address) (net.Listener, error) {
	if a.Path == "" {
		network := "tcp"
		if a.Addr().Is6() && a.Addr().IsUnspecified() {
			network = "tcp6"
		}
		return net.Listen(network, a.String())
	}
	if strings.HasPrefix(a.Path, "@") {
		return net.Listen("unix", a.Path)
	}
	if old, err := os.Lstat(a.Path); err == nil && old.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(a.Path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.Path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if a.Mode != 0 {
		if err := os.Chmod(a.Path, a.Mode); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}
