package router

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// pick chooses the endpoint for the next try.
func (a *attempt) pick(req *stream.Request) *cluster.Host {
	if a.cluster.Kind == cluster.OriginalDst {
		dst := req.Conn.Original
		if !dst.IsValid() {
			dst = fromAuthority(req.Authority)
		}
		if !dst.IsValid() {
			return nil
		}
		return a.cluster.Original(dst)
	}
	choice := cluster.Choice{}
	if r := a.policy; r != nil && a.tries > 0 {
		if r.AvoidPrevious {
			choice.Avoid = a.tried[:min(a.tries, len(a.tried))]
		}
		choice.Attempts, choice.Omit, choice.Skip = r.HostAttempts, r.Omit, a.levels.skip(r.OtherPriorities)
	}
	if w := &req.Info.Wanted; a.tries == 0 {
		choice.Wanted, choice.Only = w.Endpoint, w.Only
	}
	if len(a.router.Hash) > 0 {
		choice.Hash, choice.HasHash = hash(a.router.Hash, req, a.cookie)
	}
	if a.cluster.Subsets != nil {
		choice.Labels = a.labels(req)
	}
	h := a.cluster.Pick(choice)
	if r := a.policy; r != nil && r.OtherPriorities > 0 && h != nil {
		a.levels.took(h)
	}
	return h
}

// levels are the priorities of the endpoints that were tried, as bits.
type levels struct {
	tried, skipped uint64
	tries          int
}

// skip are those that are passed over; every is how many tries it takes to find that
// out anew, 0 passes over none.
func (l *levels) skip(every int) uint64 {
	if every > 0 && l.tries > 0 && l.tries%every == 0 {
		l.skipped = l.tried
	}
	return l.skipped
}

// took notes the endpoint of a try. One that was to be passed over says that there
// were no others: then it all begins anew.
func (l *levels) took(h *cluster.Host) {
	if h.PriorityBit()&l.skipped != 0 {
		*l = levels{}
	}
	l.tried |= h.PriorityBit()
	l.tries++
}

// lbNamespace is where filters leave labels that endpoints have to have.
const lbNamespace = "envoy.lb"

// labels are those that the endpoint has to have: as the route says, the one of its
// clusters, and the filters, each over the one before.
func (a *attempt) labels(req *stream.Request) cluster.Labels {
	labels := a.router.Labels
	if a.weighed != nil {
		labels = a.weighed.Labels.Over(labels)
	}
	var left cluster.Labels
	for key, value := range req.Info.Metadata.Namespace(lbNamespace) {
		if text, err := json.Marshal(value); err == nil {
			left = append(left, cluster.Label{Key: key, Value: string(text)})
		}
	}
	return cluster.Sorted(left).Over(labels)
}

// fromAuthority reads an authority that is an address: a proxy that is asked for
// one by name has no other way to know it.
func fromAuthority(authority string) netip.AddrPort {
	if a, err := netip.ParseAddrPort(authority); err == nil {
		return a
	}
	if a, err := netip.ParseAddr(strings.Trim(authority, "[]")); err == nil {
		return netip.AddrPortFrom(a, 80)
	}
	return netip.AddrPort{}
}
