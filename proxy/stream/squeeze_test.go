package stream

import (
	"testing"
	"time"
)

// A timeout goes linearly from its full value to its minimum.
func TestSqueeze(t *testing.T) {
	for _, tc := range []struct {
		least      time.Duration
		part       float64
		pressure   uint32
		full, want time.Duration
	}{
		{2 * time.Second, 0, 0, 10 * time.Second, 10 * time.Second},
		{2 * time.Second, 0, 500_000, 10 * time.Second, 6 * time.Second},
		{2 * time.Second, 0, 1_000_000, 10 * time.Second, 2 * time.Second},
		{0, 0.1, 500_000, 10 * time.Second, 5500 * time.Millisecond},
		{0, 0.1, 1_000_000, 10 * time.Second, time.Second},
		{20 * time.Second, 0, 1_000_000, 10 * time.Second, 10 * time.Second}, // which is shorter anyway
		{0, 0, 1_000_000, 10 * time.Second, 1},                               // at once, not never
		{2 * time.Second, 0, 1_000_000, 0, 0},
		{2 * time.Second, 0, 1_000_000, -1, -1},
	} {
		s := &Squeeze{Least: tc.least, Part: tc.part}
		s.Press(tc.pressure)
		if got := s.Of(tc.full); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
	var none *Squeeze
	if none.Of(time.Second) != time.Second {
		t.Error("nothing squeezes")
	}
}
