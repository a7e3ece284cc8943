package pool

import (
	"crypto/tls"
	"net"
	"syscall"
)

// alive looks at an idle connection without waiting: bytes that nobody asked
// for, or the end, make it unusable.
func alive(conn net.Conn) bool {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	if memory, ok := conn.(interface{ Ended() bool }); ok {
		return !memory.Ended()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	quietly := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quietly = n <= 0 && err == syscall.EAGAIN
	})
	return err == nil && quietly
}
