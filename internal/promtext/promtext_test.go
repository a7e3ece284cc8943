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
