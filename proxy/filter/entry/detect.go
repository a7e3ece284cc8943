package entry

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A Detector finds the address of a request's client where that is not the socket's peer.
type Detector interface {
	// Detect gives what it finds, which may be nothing. An error refuses the request.
	Detect(*stream.Request) (Detected, error)
}

// Detected is what a [Detector] has found.
type Detected struct {
	Client netip.Addr // invalid when it has found nothing
	// Inside is set where the address may make the request one from inside.
	Inside bool
	// Append notes the socket's peer in x-forwarded-for.
	Append bool
}

// HeaderAddress is a [Detector] that reads the address from a field of its own.
type HeaderAddress struct {
	Name string
	// Trusted says that the address may make a request one from inside.
	Trusted bool
	// Status refuses requests without an address; 0 leaves them.
	Status int
}

// Detect implements [Detector].
func (d HeaderAddress) Detect(req *stream.Request) (Detected, error) {
	if a, err := netip.ParseAddr(req.Header.Get(d.Name)); err == nil {
		return Detected{Client: a.Unmap(), Inside: d.Trusted}, nil
	}
	if d.Status != 0 {
		return Detected{}, &stream.Refusal{Status: d.Status, Details: "rejecting_because_detection_failed", Close: d.Status == 400}
	}
	return Detected{}, nil
}

var _ Detector = HeaderAddress{}

// ForwardedAddress is a [Detector] that reads x-forwarded-for.
type ForwardedAddress struct {
	// Hops is how many of the last addresses are of proxies.
	Hops int
	// Proxies are the addresses of proxies, which tell instead of a number; empty where
	// that counts.
	Proxies []netip.Prefix
	Append  bool
}

// Detect implements [Detector].
func (d ForwardedAddress) Detect(req *stream.Request) (Detected, error) {
	out := Detected{Append: d.Append}
	list, found := req.Header.Joined("x-forwarded-for")
	switch {
	case len(d.Proxies) > 0 && !among(d.Proxies, req.Conn.Remote.Addr().Unmap()), !found:
	case len(d.Proxies) > 0:
		out.Client = d.beforeProxies(list)
	default:
		out.Client = hopBefore(list, d.Hops)
	}
	out.Inside = d.Hops == 0 && !strings.Contains(list, ",")
	return out, nil
}

var _ Detector = ForwardedAddress{}

// beforeProxies is the last address that is no proxy's, the first one where all are.
// Where there is something else before it is found, there is none.
func (d ForwardedAddress) beforeProxies(list string) (last netip.Addr) {
	for list != "" {
		i := strings.LastIndexByte(list, ',')
		a, err := netip.ParseAddr(strings.TrimSpace(list[i+1:]))
		if err != nil {
			return netip.Addr{}
		}
		if last = a.Unmap(); !among(d.Proxies, last) {
			return last
		}
		list = list[:max(i, 0)]
	}
	return last
}

func among(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hopBefore is the last address of a list without so many at its end; invalid when there
// is none.
func hopBefore(list string, skip int) netip.Addr {
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(list, ',')
		if i < 0 {
			return netip.Addr{}
		}
		list = list[:i]
	}
	a, err := netip.ParseAddr(strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// detect asks the detectors in order, until one has found something. Each that is asked
// may have the peer noted.
func (c *Config) detect(req *stream.Request) (found Detected, err error) {
	for _, d := range c.Detectors {
		one, err := d.Detect(req)
		one.Append = one.Append || found.Append
		if found = one; err != nil || found.Client.IsValid() {
			return found, err
		}
	}
	return found, nil
}

// UserAgent is what upstreams are told of who calls.
type UserAgent struct{ Service, Node string }

// tell notes who calls; a user agent that the request has stays.
func (u *UserAgent) tell(h *stream.Header) {
	h.Set("x-envoy-downstream-service-cluster", u.Service)
	h.Set("user-agent", cmp.Or(h.Get("user-agent"), u.Service))
	if u.Node != "" {
		h.Set("x-envoy-downstream-service-node", u.Node)
	}
}
