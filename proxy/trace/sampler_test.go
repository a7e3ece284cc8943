package trace

import "testing"

// A sampler by ID decides alike whatever the caller says, and one by the caller asks
// another one only where the caller has said nothing.
func TestSamplers(t *testing.T) {
	low, high := [16]byte{29}, [16]byte{30}
	yes, no := Decision{Made: true, Sampled: true}, Decision{Made: true}
	for _, c := range []struct {
		name    string
		sampler Sampler
		id      [16]byte
		caller  Decision
		want    bool
	}{
		{"always", Always, high, no, true},
		{"below the share", ByID(30, 100), low, no, true},
		{"above the share", ByID(30, 100), high, yes, false},
		{"a caller's yes", ByCaller(ByID(0, 100)), low, yes, true},
		{"a caller's no", ByCaller(Always), low, no, false},
		{"a trace that begins here", ByCaller(ByID(30, 100)), low, Decision{}, true},
	} {
		if got := c.sampler(c.id, c.caller); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// A sampler takes its part of the share that is traced.
func TestSamplerWithinShare(t *testing.T) {
	for _, share := range []uint32{0, 1_000_000} {
		tracer := New(Config{Random: share, Overall: 1_000_000, Sampler: Always, Propagation: W3C})
		req := asked("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		if tracer.Start(req); req.Info.Trace.Sampled != (share > 0) {
			t.Errorf("share %d: sampled is %v", share, req.Info.Trace.Sampled)
		}
	}
}
