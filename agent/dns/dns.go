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
)

// Resolver asks one name server. The zero value asks the system's.
type Resolver struct {
	// Server is the name server; the zero value is the system's.
	Server netip.AddrPort
	// Search lists the domains in which a name is looked for before it is
	// taken as it is: shop.svc.cluster.local, svc.cluster.local, cluster.local.
	Search []string
}

// Search is the search list of a namespace in a cluster's domain.
func Search(namespace, domain string) []string {
	return []string{namespace + ".svc." + domain, "svc." + domain, domain}
}

// enoughDots is from how many dots on a name is first taken as it is; names of
// services have up to four.
const enoughDots = 5

// Lookup gives the addresses of a name or of an address in text, IPv4 first.
func (r Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	var first error
	for _, name := range r.candidates(host) {
		addrs, err := r.resolver().LookupNetIP(ctx, "ip", name)
		if err == nil && len(addrs) > 0 {
			return sorted(addrs), nil
		}
		var missing *net.DNSError
		if !errors.As(err, &missing) || !missing.IsNotFound {
			if first == nil {
				first = err
			}
		}
	}
	if first == nil {
		first = errors.New("no such host")
	}
	return nil, fmt.Errorf("resolve %s: %w", host, first)
}

// candidates are the absolute names to try, in order.
func (r Resolver) candidates(host string) []string {
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

func (r Resolver) resolver() *net.Resolver {
	if !r.Server.IsValid() {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		return d.DialContext(ctx, network, r.Server.String())
	}}
}

func sorted(addrs []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	return append(v4, v6...)
}
