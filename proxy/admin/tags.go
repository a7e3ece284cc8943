package admin

import (
	"regexp"
	"strings"

	"github.com/lateenmesh/lateen/internal/promtext"
)

// tags are the parts of statistics' names that are labels of Prometheus metrics: the
// stats_tags of the bootstrap that Istio's agent writes, but for prefixes. What the
// expression finds leaves the name; its group is the label's value.
var tags = []struct {
	label string
	part  *regexp.Regexp
}{
	{"response_code", regexp.MustCompile(`_rq(_(\d{3}))$`)},
	{"response_code_class", regexp.MustCompile(`_rq(_(\dxx))$`)},
	{"authz_enforce_result", regexp.MustCompile(`rbac(\.(allowed|denied))`)},
	{"authz_dry_run_action", regexp.MustCompile(`(\.istio_dry_run_(allow|deny)_)`)},
	{"authz_dry_run_result", regexp.MustCompile(`(\.shadow_(allowed|denied))`)},
}

// metric is how Prometheus knows a family of statistics.
type metric struct {
	name   string
	labels string // those that the statistic's own follow
}

// metricOf names the metric of statistics of a family, "cluster.upstream_rq_2xx".
func metricOf(family string) metric {
	var labels []string
	for _, t := range tags {
		if at := t.part.FindStringSubmatchIndex(family); at != nil {
			labels = append(labels, promtext.Label(t.label, family[at[4]:at[5]]))
			family = family[:at[2]] + family[at[3]:]
		}
	}
	return metric{"envoy_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, family), strings.Join(labels, ",")}
}
