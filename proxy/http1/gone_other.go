//go:build !linux

package http1

import "syscall"

// hungUp reports whether the peer of a socket has closed it. A peer that has
// sent more before it closed is not noticed here.
func hungUp(fd uintptr) bool {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n == 0 && err == nil || err == syscall.ECONNRESET
}
