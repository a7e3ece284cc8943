package state

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/state/ads"
)

// told is what the state was told of a cluster or a listener.
type told struct {
	kind, name string
	raw        *raw
	problem    *Problem // nil when what came last was understood
	shadowed   bool     // one of this name came that the bootstrap has
}

// raw is a resource as it came.
type raw struct {
	source  string // who gave it; only clusters have more than one
	body    *anypb.Any
	version string
	updated time.Time
	static  bool
}

// Problem is a resource that was refused.
type Problem struct {
	Version string
	Text    string
	At      time.Time
}

func newRaw(r ads.Resource) *raw {
	return &raw{body: r.Body, version: r.Version, updated: time.Now()}
}

// same reports whether a resource came again as it was.
func same(a *raw, b *raw) bool {
	return a != nil && string(a.body.GetValue()) == string(b.body.GetValue())
}

// settled reports whether a resource that came changes nothing: it is as it was, or
// the bootstrap has one of its name, which wins.
func (s *State) settled(t *told, r *raw) bool {
	if t.raw.static && !r.static {
		if !t.shadowed {
			s.config.Log.Warn("resource passed over: the bootstrap has one of its name, which wins", t.kind, t.name)
		}
		t.shadowed = true
		return true
	}
	if !same(t.raw, r) {
		return false
	}
	t.raw.version, t.raw.source, t.problem = r.version, r.source, nil
	return true
}

// refuse notes why a resource was refused.
func (t *told) refuse(r *raw, err error) {
	t.problem = &Problem{r.version, err.Error(), time.Now()}
}

// versions are the one in force and the one that waits, of those that there are.
func versions[T any](active, pending *T) []*T {
	var all []*T
	for _, each := range []*T{active, pending} {
		if each != nil {
			all = append(all, each)
		}
	}
	return all
}

// gone are the resources that an update takes away. The state of the world takes away
// those that it does not name, which only is known when it was read as a whole.
func gone[T any](u ads.Update, whole bool, have map[string]T, kept map[string]bool) []string {
	names := slices.Clone(u.Removed)
	if u.Full && whole {
		for name := range have {
			if !kept[name] {
				names = append(names, name)
			}
		}
	}
	return names
}
