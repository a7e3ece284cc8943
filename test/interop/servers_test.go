package interop

import (
	"net"
	"testing"

	"google.golang.org/grpc"

	"github.com/lateenmesh/lateen/internal/accept"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve hands the connections that come to an address to a handler until the test ends.
func serve(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	l := listen(t)
	accept.Each(l, handle)
	return l.Addr().String()
}

// serveGRPC serves the services of a server at an address until the test ends.
func serveGRPC(t *testing.T, s *grpc.Server) (address string) {
	t.Helper()
	l := listen(t)
	go func() { _ = s.Serve(l) }() // ends with Stop
	t.Cleanup(s.Stop)
	return l.Addr().String()
}
