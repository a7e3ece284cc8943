package admin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A histogram is told as Envoy does: by quantiles, and to Prometheus by buckets.
func TestHistograms(t *testing.T) {
	var h stream.Histogram
	for range 10 {
		h.Observe(7)
	}
	used, unused := h.Read(), stream.Distribution{}
	all := []stream.Statistic{{Name: "cluster.a.rq", Value: 3}, {Name: "cluster.a.rq_time", Family: "cluster.rq_time", Labels: `cluster_name="a"`, Spread: &used}, {Name: "b", Family: "b", Spread: &unused}}
	if got, want := spreadText(&used), "P0(nan,5) P25(nan,6.25) P50(nan,7.5) P75(nan,8.75) P90(nan,9.5) P95(nan,9.75) P99(nan,9.95) P99.5(nan,9.98) P99.9(nan,10) P100(nan,10)"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if got := spreadText(&unused); got != "No recorded values" {
		t.Errorf("got %s", got)
	}
	text, err := json.Marshal(statsJSON(all))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`[{"name":"cluster.a.rq","value":3},{"histograms":{"computed_quantiles":[{"name":"cluster.a.rq_time","values":[{"cumulative":5,"interval":null},`, `{"name":"b","values":[{"cumulative":null,`, `"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	var out strings.Builder
	writeFamilies(&out, all[1:])
	for _, want := range []string{
		"# TYPE envoy_cluster_rq_time histogram\nenvoy_cluster_rq_time_bucket{cluster_name=\"a\",le=\"0.5\"} 0\n", "le=\"5\"} 0\nenvoy_cluster_rq_time_bucket{cluster_name=\"a\",le=\"10\"} 10\n",
		"le=\"+Inf\"} 10\nenvoy_cluster_rq_time_sum{cluster_name=\"a\"} 70\nenvoy_cluster_rq_time_count{cluster_name=\"a\"} 10\n", "envoy_b_bucket{le=\"0.5\"} 0\n", "envoy_b_sum 0\nenvoy_b_count 0\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
