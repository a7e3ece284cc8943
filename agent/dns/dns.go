// Package dns resolves names as the workload would: by the cluster's name
// server, with the search list of the workload's namespace.
//
// It is the part of the agent that the explicit redirect asks when a workload
// names its destination (SOCKS5, CONNECT), and that clusters resolved by DNS
// use.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/lateenmesh/lateen/internal/resolve"
)

// Resolver asks one name server and remembers its answers. The zero value asks
// the system's. It must not be copied once it is in use.
type Resolver struct {
	// Server is the name server; the zero value is the system's.
	Server netip.AddrPort
	// Search lists the domains in which a name is looked for before it is
	// taken as it is: shop.svc.cluster.local, svc.cluster.local, cluster.local.
	Search []string

	cache cache
}

// Search is the search list of a namespace in a cluster's domain.
func Search(namespace, domain string) []string {
	return []string{namespace + ".svc." + domain, "svc." + domain, domain}
}

// enoughDots is from how many dots on a name is first taken as it is; names of
// services have up to four.
const enoughDots = 5

// Lookup gives the addresses of a name or of an address in text, IPv4 first.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, _, err := r.Resolve(ctx, host)
	return addrs, err
}

// Resolve gives the addresses of a name, IPv4 first, and for how long they hold;
// 0 when the system does not tell.
func (r *Resolver) Resolve(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, 0, nil
	}
	var first error
	for _, name := range r.candidates(host) {
		found, err := r.ask(ctx, name)
		if err == nil && len(found.addrs) > 0 {
			return found.addrs, found.ttl, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errors.New("no such host")
	}
	return nil, 0, fmt.Errorf("resolve %s: %w", host, first)
}

// candidates are the absolute names to try, in order.
func (r *Resolver) candidates(host string) []string {
	absolute, ok := strings.CutSuffix(host, ".")
	if ok {
		return []string{absolute + "."}
	}
	var out []string
	for _, domain := range r.Search {
		out = append(out, host+"."+domain+".")
	}
	if strings.Count(host, ".") >= enoughDots {
		return append([]string{host + "."}, out...)
	}
	return append(out, host+".")
}

// ask gives what is known of an absolute name.
func (r *Resolver) ask(ctx context.Context, name string) (records, error) {
	if !r.Server.IsValid() {
		return system(ctx, name)
	}
	if found, ok := r.cache.get(name); ok {
		return found, nil
	}
	v4, err := r.exchange(ctx, name, dnsmessage.TypeA)
	if err != nil {
		return records{}, err
	}
	v6, err := r.exchange(ctx, name, dnsmessage.TypeAAAA)
	if err != nil {
		v6 = records{} // a server that knows IPv4 only is good enough
	}
	found := records{append(v4.addrs, v6.addrs...), v4.ttl}
	if len(v4.addrs) == 0 || len(v6.addrs) > 0 {
		found.ttl = min(v4.ttl, v6.ttl)
	}
	r.cache.put(name, found)
	return found, nil
}

// system asks the operating system. That a name does not exist is no error.
func system(ctx context.Context, name string) (records, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var missing *net.DNSError
	if errors.As(err, &missing) && missing.IsNotFound {
		return records{}, nil
	}
	v4, v6 := resolve.Families(addrs)
	return records{addrs: append(v4, v6...)}, err
}
