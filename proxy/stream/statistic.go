package stream

// Statistic is one that the admin API tells, under Envoy's name.
type Statistic struct {
	Name   string // "cluster.web.upstream_rq_total"
	Family string // the name but for what the labels tell, "cluster.upstream_rq_total"
	Labels string // `cluster_name="web"`, or empty
	Gauge  bool
	Value  int64
	// Spread is set of a histogram, which has no one value.
	Spread *Distribution
}
