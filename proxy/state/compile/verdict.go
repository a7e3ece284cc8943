package compile

import "github.com/lateenmesh/lateen/proxy/cluster"

// verdicts count what a filter decides about requests, for the clusters that they are
// for. The statistics' names are made once for a filter.
type verdicts struct {
	names  map[string]string                 // by outcome
	lookup func(name string) *cluster.Handle // nil finds none
	sure   *cluster.Handle                   // where a route's requests go; nil when it is not sure beforehand
}

// verdicts names the statistics of a kind of filter: those of one with a prefix have it
// behind the kind.
func (c *Compiler) verdicts(kind, prefix string, outcomes ...string) *verdicts {
	if prefix != "" {
		kind += "." + prefix
	}
	v := &verdicts{names: map[string]string{}, lookup: c.Lookup}
	for _, outcome := range outcomes {
		v.names[outcome] = kind + "." + outcome
	}
	return v
}

// on are the filter's on a route.
func (v *verdicts) on(s *spot) *verdicts {
	own := *v
	if s.forward != nil && len(s.forward.Clusters) == 1 {
		own.sure = s.forward.Clusters[0].Cluster
	}
	return &own
}

// tell counts what the filter has decided about a request to a cluster.
func (v *verdicts) tell(name, outcome string) {
	if to := v.at(name); to != nil {
		to.Stats.Filters.Count(v.names[outcome])
	}
}

// charge counts a reply among those of a cluster.
func (v *verdicts) charge(name string, status int) {
	if to := v.at(name); to != nil {
		to.Stats.Count(status)
	}
}

// at is the cluster of a name, nil where there is none.
func (v *verdicts) at(name string) *cluster.Cluster {
	switch {
	case name == "":
		return nil
	case v.sure != nil && v.sure.Name() == name:
		return v.sure.Load()
	case v.lookup == nil:
		return nil
	}
	if h := v.lookup(name); h != nil {
		return h.Load()
	}
	return nil
}
