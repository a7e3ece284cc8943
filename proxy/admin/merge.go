package admin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// merge sorts statistics, and makes one of those that the order does not tell apart:
// whose names are shared count together.
func merge(all []stream.Statistic, order func(a, b stream.Statistic) int) []stream.Statistic {
	slices.SortFunc(all, order)
	kept := all[:0]
	for _, x := range all {
		if last := len(kept) - 1; last >= 0 && order(kept[last], x) == 0 {
			kept[last] = sum(kept[last], x)
		} else {
			kept = append(kept, x)
		}
	}
	return kept
}

// byName is the order of /stats, in which histograms are last.
func byName(a, b stream.Statistic) int {
	if c := cmp.Compare(weight(a.Spread), weight(b.Spread)); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(kindOf(a), kindOf(b)))
}

// bySeries is the order of Prometheus' pages, which know no names but families and
// labels.
func bySeries(a, b stream.Statistic) int {
	return cmp.Or(strings.Compare(a.Family, b.Family), cmp.Compare(kindOf(a), kindOf(b)), strings.Compare(a.Labels, b.Labels))
}

// kindOf is what Prometheus calls a statistic.
func kindOf(x stream.Statistic) string {
	switch {
	case x.Gauge:
		return "gauge"
	case x.Spread != nil:
		return "histogram"
	}
	return "counter"
}

// sum is what two statistics of one kind have counted together.
func sum(a, b stream.Statistic) stream.Statistic {
	a.Value += b.Value
	if a.Spread != nil && b.Spread != nil {
		both := *a.Spread
		for i, n := range b.Spread.UpTo {
			both.UpTo[i] += n
		}
		both.Total += b.Spread.Total
		both.Sum += b.Spread.Sum
		a.Spread = &both
	}
	return a
}
