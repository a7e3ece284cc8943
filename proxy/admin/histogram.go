package admin

import (
	"fmt"
	"math"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// quantiles are those that are told of histograms, in percent.
var quantiles = [...]float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100}

// weight puts numbers before histograms.
func weight(spread *stream.Distribution) int {
	if spread != nil {
		return 1
	}
	return 0
}

// spreadText is a histogram in a line: each quantile of the last interval, which is not
// kept, and of all.
func spreadText(d *stream.Distribution) string {
	if d.Total == 0 {
		return "No recorded values"
	}
	var out []string
	for _, q := range quantiles {
		out = append(out, fmt.Sprintf("P%g(nan,%g)", q, round(d.Quantile(q/100))))
	}
	return strings.Join(out, " ")
}

// round leaves as many digits as say something.
func round(v float64) float64 { return math.Round(v*100) / 100 }

// statsJSON is the list of numbers, with the histograms in its last entry.
func statsJSON(all []stream.Statistic) []map[string]any {
	list, computed := []map[string]any{}, []map[string]any{}
	for _, x := range all {
		if x.Spread == nil {
			list = append(list, map[string]any{"name": x.Name, "value": x.Value})
			continue
		}
		values := []map[string]any{}
		for _, q := range quantiles {
			var cumulative any // null where nothing was counted
			if x.Spread.Total > 0 {
				cumulative = round(x.Spread.Quantile(q / 100))
			}
			values = append(values, map[string]any{"interval": nil, "cumulative": cumulative})
		}
		computed = append(computed, map[string]any{"name": x.Name, "values": values})
	}
	if len(computed) > 0 {
		list = append(list, map[string]any{"histograms": map[string]any{"supported_quantiles": quantiles, "computed_quantiles": computed}})
	}
	return list
}
