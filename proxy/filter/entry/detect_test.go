package entry

import (
	"net/netip"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// The client is the last address that no proxy is known to have, and only one that came
// without others may be from inside.
func TestForwardedAddresses(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		d              ForwardedAddress
		peer, list     string
		client, inside string // "inside" or empty
	}{
		{ForwardedAddress{}, "10.0.0.1", "1.1.1.1", "1.1.1.1", "inside"},
		{ForwardedAddress{}, "10.0.0.1", "2.2.2.2, 1.1.1.1", "1.1.1.1", ""},
		{ForwardedAddress{Hops: 1}, "10.0.0.1", "2.2.2.2, 1.1.1.1", "2.2.2.2", ""},
		{ForwardedAddress{Hops: 2}, "10.0.0.1", "2.2.2.2, 1.1.1.1", "", ""},
		{ForwardedAddress{Proxies: proxies}, "10.0.0.1", "3.3.3.3,2.2.2.2,10.0.0.2", "2.2.2.2", ""},
		{ForwardedAddress{Proxies: proxies}, "10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3", ""},
		{ForwardedAddress{Proxies: proxies}, "10.0.0.1", "x,10.0.0.2", "", ""},
		{ForwardedAddress{Proxies: proxies}, "9.0.0.1", "2.2.2.2, 10.0.0.2", "", ""},
	} {
		req := &stream.Request{Conn: &stream.Conn{Remote: netip.MustParseAddrPort(c.peer + ":80")}}
		req.Header.Add("x-forwarded-for", c.list)
		got, err := c.d.Detect(req)
		client := ""
		if got.Client.IsValid() {
			client = got.Client.String()
		}
		if err != nil || client != c.client || got.Inside != (c.inside != "") {
			t.Errorf("%+v %s behind %s: got %q inside %v, %v; want %q", c.d, c.list, c.peer, client, got.Inside, err, c.client)
		}
	}
}
