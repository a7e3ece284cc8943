package stream

import (
	"math"
	"testing"
)

func TestHistogram(t *testing.T) {
	var o Occasional
	if d := o.Read(); d.Total != 0 || !math.IsNaN(d.Quantile(0.5)) {
		t.Errorf("nothing was counted: got %+v", d)
	}
	for _, v := range []float64{0.2, 1, 1.5, 7, 7, 7, 7, 1e9} {
		o.Observe(v)
	}
	d := o.Read()
	if d.Total != 8 || d.UpTo[0] != 1 || d.UpTo[1] != 2 || d.UpTo[2] != 3 || d.UpTo[3] != 7 || d.UpTo[len(Bounds)] != 8 || math.Abs(d.Sum-1e9-30.7) > 0.001 {
		t.Errorf("got %+v", d)
	}
	for q, want := range map[float64]float64{0: 0, 0.125: 0.5, 0.25: 1, 0.375: 5, 0.625: 7.5, 0.875: 10, 1: 3600000} {
		if got := d.Quantile(q); math.Abs(got-want) > 0.001 {
			t.Errorf("quantile %v is %v; want %v", q, got, want)
		}
	}
}
