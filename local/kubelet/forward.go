package kubelet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// forward carries what comes to the pod's address to its applications: what the
// sidecar does in a pod that has one.
func (w *worker) forward(ctx context.Context) error {
	for port, private := range w.private {
		address := w.shift(netip.AddrPortFrom(w.ip, uint16(port)))
		l, err := net.Listen("tcp", address.String())
		if err != nil {
			return fmt.Errorf("listen for pod %s: %w", w.name, err)
		}
		context.AfterFunc(ctx, func() { l.Close() })
		go accept(l, fmt.Sprintf("127.0.0.1:%d", private))
	}
	return nil
}

// accept serves until the listener is closed. Connections end by themselves.
func accept(l net.Listener, to string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go carry(conn, to)
	}
}

func carry(conn net.Conn, to string) {
	defer conn.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, conn)
		_ = up.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, up)
	_ = conn.(*net.TCPConn).CloseWrite()
	<-done
}
