package xds

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/lateenmesh/lateen/control/mesh"
)

// difference is what stands between what a client holds and what it should.
type difference struct {
	// target is what the client holds when the difference is gone.
	target  *mesh.Table
	changed []*mesh.Resource // new, newer, or owed; in the order of their names
	removed []string         // held and no longer there
	absent  []string         // owed and not there
}

// difference compares the client's state with table. The result is kept until
// something changes: a planner may ask often.
func (t *subscribed) difference(table *mesh.Table) difference {
	if !t.stale {
		return t.diff
	}
	t.stale = false
	t.diff = difference{target: t.target(table)}
	if t.diff.target != t.have || len(t.owed) > 0 {
		t.compare()
	}
	return t.diff
}

// compare walks both tables side by side, in the order of their names.
func (t *subscribed) compare() {
	d := &t.diff
	held := slices.Collect(t.have.All())
	for r := range d.target.All() {
		for len(held) > 0 && held[0].Name < r.Name {
			d.removed = append(d.removed, held[0].Name)
			held = held[1:]
		}
		same := false
		if len(held) > 0 && held[0].Name == r.Name {
			same = held[0] == r || held[0].Version == r.Version
			held = held[1:]
		}
		if !same || t.owed[r.Name] {
			d.changed = append(d.changed, r)
		}
	}
	for _, r := range held {
		d.removed = append(d.removed, r.Name)
	}
	for name := range t.owed {
		if _, ok := d.target.Get(name); ok {
			continue
		}
		if _, ok := t.have.Get(name); !ok {
			d.absent = append(d.absent, name)
		}
	}
}

// target is what the client should hold: the part of table that it asked for,
// with refused versions replaced by those that it kept.
func (t *subscribed) target(table *mesh.Table) *mesh.Table {
	if t.wildcard && len(t.refused) == 0 {
		return table
	}
	picked := make([]*mesh.Resource, 0, table.Len())
	same := true
	for r := range table.All() {
		switch {
		case !t.covers(r.Name):
			same = false
			continue
		case t.refused[r.Name] == r.Version:
			same = false
			if kept, ok := t.have.Get(r.Name); ok {
				picked = append(picked, kept)
			}
			continue
		}
		picked = append(picked, r)
	}
	if same {
		return table
	}
	return mesh.NewTable(picked)
}

// stuck reports whether the client refused something that it should have now.
func (t *subscribed) stuck(table *mesh.Table) bool {
	for name, version := range t.refused {
		if r, ok := table.Get(name); ok && r.Version == version {
			return true
		}
	}
	return false
}

// apply is have after a partial response.
func apply(have *mesh.Table, changed []*mesh.Resource, removed []string) *mesh.Table {
	gone := make(map[string]bool, len(removed))
	for _, name := range removed {
		gone[name] = true
	}
	next := append([]*mesh.Resource(nil), changed...) // first of a name wins
	for r := range have.All() {
		if !gone[r.Name] {
			next = append(next, r)
		}
	}
	return mesh.NewTable(next)
}

// setVersion stands for a set of resources: equal sets have equal versions.
func setVersion(rs []*mesh.Resource) string {
	h := sha256.New()
	for _, r := range rs {
		h.Write([]byte(r.Name))
		h.Write([]byte{0})
		h.Write([]byte(r.Version))
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:8])
}
