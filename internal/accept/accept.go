// Package accept serves the connections of a listener, for small servers: those of
// tests and of benchmarks.
package accept

import "net"

// Each hands every connection that comes to l to handle, in a goroutine of its own,
// until l is closed. It returns at once.
func Each(l net.Listener, handle func(net.Conn)) {
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
}
