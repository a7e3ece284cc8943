package cluster

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Run keeps a DNS cluster's addresses fresh until ctx ends. For other clusters
// it only waits.
func (c *Cluster) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	if c.HealthCheck != nil {
		watching.Go(func() { c.watch(ctx) })
	}
	if c.Kind != StrictDNS && c.Kind != LogicalDNS || c.deps.Resolve == nil {
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

// ResolveOnce resolves all names and swaps the endpoints in. A name that cannot
// be resolved keeps its last addresses. It returns when to ask again.
func (c *Cluster) ResolveOnce(ctx context.Context) time.Duration {
	wait := c.DNSRefresh
	if wait == 0 {
		wait = 5 * time.Second
	}
	c.mu.Lock()
	named := c.named
	c.mu.Unlock()
	last := map[string][]Endpoint{}
	for _, h := range c.Hosts() {
		if h.Name != "" {
			last[h.Name] = append(last[h.Name], h.Endpoint)
		}
	}
	var found []Endpoint
	for _, e := range named {
		if e.Name == "" {
			found = append(found, e)
			continue
		}
		addrs, _, err := c.deps.Resolve(ctx, e.Name)
		if err != nil {
			c.deps.Log.Warn("name not resolved", "cluster", c.Name, "name", e.Name, "error", err)
			found = append(found, last[e.Name]...)
			continue
		}
		if c.Kind == LogicalDNS && len(addrs) > 1 {
			addrs = addrs[:1]
		}
		for _, a := range addrs {
			resolved := e
			resolved.Address = netip.AddrPortFrom(a, e.Address.Port())
			found = append(found, resolved)
		}
	}
	c.swap(found)
	return wait
}
