package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/pires/go-proxyproto"
)

// newProxied serves HTTP behind PROXY headers, which it tells, and gives its address.
func newProxied(t *testing.T) string {
	t.Helper()
	return serve(t, tellProxied)
}

func tellProxied(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	h, err := proxyproto.Read(r)
	for n := 1; err == nil; n++ {
		if _, err = http.ReadRequest(r); err == nil {
			text := fmt.Sprintf("version %d, command %d, %s to %s", h.Version, h.Command, withoutPort(h.SourceAddr), withoutPort(h.DestinationAddr))
			_, err = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}
}

// withoutPort leaves out ports that the kernel chose.
func withoutPort(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.Port > 5000 {
		return tcp.IP.String()
	}
	return fmt.Sprint(a)
}

// toldStory asks what an upstream is told of a connection by PROXY headers.
func toldStory() story {
	return story{name: "proxy-protocol-out", routes: `
routes:
- {match: {prefix: /one}, route: {cluster: pp1}}
- {match: {prefix: /two}, route: {cluster: pp2}}`,
		asks: []ask{
			get("/one"), get("/two"),
			{path: "/one", preamble: "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n"}, {path: "/two", preamble: "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n"},
			{path: "/one", preamble: "PROXY TCP6 2001:db8::1 2001:db8::2 4321 443\r\n"}, {path: "/two", preamble: "PROXY TCP6 2001:db8::1 2001:db8::2 4321 443\r\n"},
			{path: "/two", preamble: "PROXY TCP4 192.0.2.8 198.51.100.9 4321 443\r\n"},
		}}
}
