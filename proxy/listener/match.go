package listener

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// chains picks a filter chain.
type chains struct {
	all      []*Chain
	fallback *Chain
}

func newChains(c *Config) *chains { return &chains{c.Chains, c.Default} }

// pick narrows the chains down, one criterion after the other: of those left the
// ones that match most specifically stay. A choice made at one criterion is not
// taken back when a later one finds nothing: then the default serves.
func (c *chains) pick(facts *stream.Conn, seen sniffed) *Chain {
	left := c.all
	dst, src := facts.Original, facts.Remote
	for _, rank := range []func(*Match) int{
		func(m *Match) int { return portRank(m.Port, dst.Port()) },
		func(m *Match) int { return prefixRank(m.Prefixes, dst.Addr()) },
		func(m *Match) int { return nameRank(m.ServerNames, seen.serverName) },
		func(m *Match) int { return wordRank(m.Transport, seen.transport) },
		func(m *Match) int { return listRank(m.ALPN, seen.alpn) },
		func(m *Match) int { return prefixRank(m.DirectPrefixes, facts.Direct().Remote.Addr()) },
		func(m *Match) int { return prefixRank(m.SourcePrefixes, src.Addr()) },
		func(m *Match) int { return portsRank(m.SourcePorts, src.Port()) },
	} {
		if left = best(left, rank); len(left) == 0 {
			return c.fallback
		}
	}
	return left[0]
}

// noMatch is the rank of a criterion that fails; 0 is one that is not set.
const noMatch = -1

func best(all []*Chain, rank func(*Match) int) []*Chain {
	top := noMatch
	for _, c := range all {
		top = max(top, rank(&c.Match))
	}
	if top == noMatch {
		return nil
	}
	kept := make([]*Chain, 0, len(all))
	for _, c := range all {
		if rank(&c.Match) == top {
			kept = append(kept, c)
		}
	}
	return kept
}

func portRank(want, got uint16) int {
	switch want {
	case 0:
		return 0
	case got:
		return 1
	}
	return noMatch
}

func portsRank(want []uint16, got uint16) int {
	if len(want) == 0 {
		return 0
	}
	if slices.Contains(want, got) {
		return 1
	}
	return noMatch
}

// prefixRank prefers longer prefixes.
func prefixRank(want []netip.Prefix, got netip.Addr) int {
	if len(want) == 0 {
		return 0
	}
	rank := noMatch
	for _, p := range want {
		if p.Contains(got) {
			rank = max(rank, p.Bits()+1)
		}
	}
	return rank
}

// nameRank prefers the exact name, then longer suffixes.
func nameRank(want []string, got string) int {
	if len(want) == 0 {
		return 0
	}
	rank := noMatch
	for _, w := range want {
		if w == got && got != "" {
			return 1 << 16
		}
		if suffix, ok := strings.CutPrefix(w, "*"); ok && strings.HasSuffix(got, suffix) && len(got) > len(suffix) {
			rank = max(rank, len(w))
		}
	}
	return rank
}

func wordRank(want, got string) int {
	switch want {
	case "":
		return 0
	case got:
		return 1
	}
	return noMatch
}

func listRank(want, got []string) int {
	if len(want) == 0 {
		return 0
	}
	for _, g := range got {
		if slices.Contains(want, g) {
			return 1
		}
	}
	return noMatch
}
