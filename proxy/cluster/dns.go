package cluster

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/internal/resolve"
)

// Run keeps a DNS cluster's addresses fresh until ctx ends. For other clusters
// it only waits.
func (c *Cluster) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	if len(c.HealthChecks) > 0 {
		watching.Go(func() { c.watch(ctx) })
	}
	if c.Kind != StrictDNS && c.Kind != LogicalDNS || c.deps.Resolve == nil && c.DNS.Resolve == nil {
		<-ctx.Done()
		return nil
	}
	for {
		wait := c.ResolveOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// DNS says how names are resolved.
type DNS struct {
	// Resolve is how; nil is the proxy's own way.
	Resolve Resolve
	Family  Family
	// Refresh is how often names are resolved again, 5 s when zero; or, where FollowTTL
	// is set, how long their addresses hold, but not more often than Least. A random
	// part of Jitter is added.
	Refresh, Least, Jitter time.Duration
	FollowTTL              bool
	// Retry is how long a name that was not resolved waits, at most and doubling up to
	// MostRetry each time; Refresh when zero.
	Retry, MostRetry time.Duration
}

// Family says which of a name's addresses are used.
type Family uint8

// The families, after Envoy's.
const (
	Auto        Family = iota // IPv6, or IPv4 if there are none
	V4Only                    // IPv4
	V6Only                    // IPv6
	V4Preferred               // IPv4, or IPv6 if there are none
	All                       // both
)

// of picks the addresses of the family.
func (f Family) of(addrs []netip.Addr) []netip.Addr {
	v4, v6 := resolve.Families(addrs)
	switch {
	case f == All:
		return append(v4, v6...)
	case f == V4Only, f == V4Preferred && len(v4) > 0, f == Auto && len(v6) == 0:
		return v4
	}
	return v6
}

// namedEndpoint is one that is known by a name.
type namedEndpoint struct {
	Endpoint
	last []netip.Addr // that it was resolved to; owned by who resolves
}

// ResolveOnce resolves all names and swaps the endpoints in. A name that cannot
// be resolved keeps its last addresses; one that does not exist has none, unless
// the cluster is a logical one. It returns when to ask again.
func (c *Cluster) ResolveOnce(ctx context.Context) time.Duration {
	lookup := c.DNS.Resolve
	if lookup == nil {
		lookup = c.deps.Resolve
	}
	c.mu.Lock()
	names := c.named
	c.mu.Unlock()
	var found []Endpoint
	failed, shortest := false, time.Duration(0)
	for i := range names {
		e := names[i].Endpoint
		name := e.dnsName()
		if name == "" || e.Address.Addr().IsValid() || e.Socket() != "" {
			found = append(found, e)
			continue
		}
		addrs, ttl, err := lookup(ctx, name)
		addrs = c.DNS.Family.of(addrs)
		if err != nil || c.Kind == LogicalDNS && len(addrs) == 0 {
			c.deps.Log.Warn("name not resolved", "cluster", c.Name, "name", name, "error", err)
			addrs, ttl, failed = names[i].last, 0, true
		}
		names[i].last = addrs
		if ttl > 0 && (shortest == 0 || ttl < shortest) {
			shortest = ttl
		}
		if c.Kind == LogicalDNS {
			addrs = addrs[:min(1, len(addrs))]
		}
		for j, a := range addrs {
			if slices.Contains(addrs[:j], a) {
				continue
			}
			resolved := e
			resolved.Address = netip.AddrPortFrom(a, e.Address.Port())
			found = append(found, resolved)
		}
	}
	if ctx.Err() == nil {
		c.swap(found)
		if c.probes != nil {
			c.probes.resolved.Store(true)
			c.change()
		}
	}
	return c.nextResolve(failed, shortest)
}

// nextResolve is the time to the next attempt.
func (c *Cluster) nextResolve(failed bool, ttl time.Duration) time.Duration {
	d := c.DNS
	wait := cmp.Or(d.Refresh, 5*time.Second)
	if failed {
		if d.Retry == 0 {
			return wait
		}
		most := max(d.Retry, cmp.Or(d.MostRetry, 10*d.Retry))
		if n := min(c.unresolved, 62); d.Retry <= most>>n { // compared so, nothing overflows
			most = d.Retry << n
		}
		c.unresolved++
		return time.Duration(rand.Int64N(int64(most)) + 1)
	}
	c.unresolved = 0
	if d.FollowTTL && ttl > 0 {
		wait = max(ttl, d.Least)
	}
	if d.Jitter > 0 {
		wait += time.Duration(rand.Int64N(int64(d.Jitter)))
	}
	return wait
}
