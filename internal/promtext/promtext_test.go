package promtext

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWrite(t *testing.T) {
	var c, none Counter
	c.Inc("cds")
	c.Add(`a"b`, 2)
	h := NewHistogram(0.1, 1)
	h.Observe(0.1)
	h.Observe(3)
	var b strings.Builder
	c.Write(&b, "pushes", "type", "Pushes.")
	none.Write(&b, "errors_total", "", "Errors.")
	Gauge(&b, "proxies", "Proxies.", 3)
	Gauges(&b, "build", "version", "Build.", map[string]float64{"1": 1})
	h.Write(&b, "seconds", "Time.")
	want := `# HELP pushes Pushes.
# TYPE pushes counter
pushes{type="a\"b"} 2
pushes{type="cds"} 1
# HELP errors_total Errors.
# TYPE errors_total counter
errors_total 0
# HELP proxies Proxies.
# TYPE proxies gauge
proxies 3
# HELP build Build.
# TYPE build gauge
build{version="1"} 1
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{le="0.1"} 1
seconds_bucket{le="1"} 1
seconds_bucket{le="+Inf"} 2
seconds_sum 3.1
seconds_count 2
`
	if diff := cmp.Diff(b.String(), want); diff != "" {
		t.Errorf("text (-got +want):\n%s", diff)
	}
}

// A value is quoted by the format's rules, which are not Go's.
func TestLabel(t *testing.T) {
	for value, want := range map[string]string{
		"plain": `a="plain"`, "odd\u200b\t\x01": "a=\"odd\u200b\t\x01\"", "\\ \" \n": `a="\\ \" \n"`, "\xff": "a=\"\uFFFD\"",
	} {
		if got := Label("a", value); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

// A histogram of somebody else's is written with the labels of its series.
func TestAppendHistogram(t *testing.T) {
	d := Distribution{Bounds: []float64{0.5, 1800000}, UpTo: []int64{1, 3, 4}, Sum: 7.5, Total: 4}
	for labels, want := range map[string]string{
		"":      "t_bucket{le=\"0.5\"} 1\nt_bucket{le=\"1800000\"} 3\nt_bucket{le=\"+Inf\"} 4\nt_sum 7.5\nt_count 4\n",
		`a="b"`: "t_bucket{a=\"b\",le=\"0.5\"} 1\nt_bucket{a=\"b\",le=\"1800000\"} 3\nt_bucket{a=\"b\",le=\"+Inf\"} 4\nt_sum{a=\"b\"} 7.5\nt_count{a=\"b\"} 4\n",
	} {
		if got := string(AppendHistogram(nil, "t", labels, d)); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	}
}
