package socket

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The wildcard of IPv6 leaves that of IPv4 to others.
func TestIPv6Alone(t *testing.T) {
	six, err := Open(Address{AddrPort: netip.MustParseAddrPort("[::]:0")})
	if err != nil {
		t.Skipf("SKIPPED: there is no IPv6 here: %v", err)
	}
	defer six.Close()
	raw, err := six.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	only := 0
	if err := raw.Control(func(fd uintptr) { only, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || only != 1 {
		t.Errorf("IPv6 alone: %d, %v", only, err)
	}
}

// A Unix socket has the mode that was asked for and takes the place of the one before,
// which may be open still; whatever else lies at its path stays.
func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, mode := range []os.FileMode{0o600, 0o666} {
		l, err := Open(Address{Path: path, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if at, err := os.Stat(path); err != nil || at.Mode() != mode|os.ModeSocket {
			t.Errorf("got %v, %v; want a socket of mode %v", at.Mode(), err, mode)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := l.Accept(); err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(Address{Path: file}); err == nil {
		l.Close()
		t.Error("a file gave way to a socket")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// An abstract socket is in no file system.
func TestAbstractSockets(t *testing.T) {
	name := "@" + filepath.Join(t.TempDir(), "s")
	l, err := Open(Address{Path: name})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := net.Dial("unix", name); err != nil {
		t.Error(err)
	}
}
