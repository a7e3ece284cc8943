package cluster

import (
	"net/netip"
	"testing"
)

// A retry passes over the priorities that were tried, as long as there are others.
func TestSkippedPriorities(t *testing.T) {
	var eps []Endpoint
	for i := range 3 {
		eps = append(eps, Endpoint{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80), Priority: uint32(i * 2)})
	}
	c := New(&Config{Endpoints: eps}, Deps{})
	for skip, want := range map[uint64]uint32{0: 0, 0b1: 2, 0b101: 4, 0b100: 0, 0b10101: 0, 0b10001: 2} {
		for range 20 {
			if h := c.Pick(Choice{Skip: skip}); h.Priority != want {
				t.Fatalf("%b: picked priority %d; want %d", skip, h.Priority, want)
			}
		}
	}
}

func TestOmittedHosts(t *testing.T) {
	label := func(key, value string) Label { return Label{Key: key, Value: value} }
	c := New(&Config{Endpoints: []Endpoint{
		{Address: netip.MustParseAddrPort("10.0.0.1:80"), Rare: &Rare{Labels: Labels{canary, label("stage", `"dev"`)}}},
		{Address: netip.MustParseAddrPort("10.0.0.2:80"), Rare: &Rare{Labels: Labels{label("canary", "false"), label("stage", `"prod"`)}}},
	}}, Deps{})
	for name, tc := range map[string]struct {
		omit Omit
		want string // empty for either
	}{
		"canaries":   {Omit{Canaries: true}, "10.0.0.2:80"},
		"by a label": {Omit{Labels: []Labels{{label("stage", `"prod"`)}}}, "10.0.0.1:80"},
		"by two":     {Omit{Labels: []Labels{{label("canary", "false"), label("stage", `"dev"`)}}}, ""},
		"all":        {Omit{Canaries: true, Labels: []Labels{{label("stage", `"prod"`)}}}, ""},
	} {
		seen := map[string]bool{}
		for range 40 {
			seen[c.Pick(Choice{Omit: &tc.omit, Attempts: 4}).Text()] = true
		}
		if tc.want != "" && (len(seen) != 1 || !seen[tc.want]) || tc.want == "" && len(seen) != 2 {
			t.Errorf("%s: picked %v; want %s", name, seen, tc.want)
		}
	}
}
