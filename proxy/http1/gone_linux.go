package http1

import "golang.org/x/sys/unix"

// hungUp reports whether the peer of a socket has closed it, or its sending
// side: for HTTP/1 that is the end of a client, whatever it has sent before.
func hungUp(fd uintptr) bool {
	ask := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(ask, 0)
	return err == nil && n > 0 && ask[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
