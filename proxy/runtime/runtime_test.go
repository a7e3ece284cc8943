package runtime

import (
	"testing"
)

// A value is read as whatever it can be; what it cannot be leaves the default.
func TestValues(t *testing.T) {
	const share, number = 7, 8.5
	for text, want := range map[string]struct {
		share  uint32
		number float64
		flag   bool
	}{
		"":      {share, number, true},
		"100":   {1_000_000, 100, true},
		"1000":  {1_000_000, 1000, true},
		"1.5":   {15_000, 1.5, true},
		"-5":    {share, number, true},
		"true":  {share, number, true},
		"False": {share, number, false},
		"abc":   {share, number, true},
		"numerator: 3\ndenominator: TEN_THOUSAND": {300, number, true},
		"numerator: x":                     {share, number, true},
		"numerator: 3\ndenominator: DOZEN": {share, number, true},
		"numerator: 200":                   {1_000_000, number, true},
	} {
		r := New([]Layer{{Name: "static", Values: map[string]string{"k": text}}})
		if text == "" {
			r = nil
		}
		k := r.Key("k")
		if got := k.PerMillion(share); got != want.share {
			t.Errorf("%q is a share of %d; want %d", text, got, want.share)
		}
		if got := k.Number(number); got != want.number {
			t.Errorf("%q is %v; want %v", text, got, want.number)
		}
		if got := k.Flag(true); got != want.flag {
			t.Errorf("%q is %v; want %v", text, got, want.flag)
		}
	}
}

// A layer wins over those before it, and what it loses shows them again; keys that
// are held follow.
func TestLayers(t *testing.T) {
	r := New([]Layer{{Name: "static", Values: map[string]string{"k": "1"}}, {Name: "rtds"}, {Name: "admin", Admin: true}})
	k := r.Key("k")
	for _, step := range []struct {
		do   func() bool
		want float64
	}{
		{func() bool { return true }, 1},
		{func() bool { return r.Replace("rtds", map[string]string{"k": "2"}) }, 2},
		{func() bool { return r.Modify(map[string]string{"k": "3", "other": "4"}) }, 3},
		{func() bool { return r.Replace("rtds", map[string]string{"k": "5"}) }, 3},
		{func() bool { return r.Modify(map[string]string{"k": ""}) }, 5},
		{func() bool { return r.Replace("rtds", nil) }, 1},
	} {
		if !step.do() {
			t.Error("refused")
		}
		if got := k.Number(0); got != step.want {
			t.Errorf("got %v; want %v", got, step.want)
		}
	}
	if r.Replace("admin", nil) || r.Replace("none", nil) || New(nil).Modify(nil) {
		t.Error("a layer that is not there, or not for that, was changed")
	}
	layers, loads := r.Layers()
	if len(layers) != 3 || layers[2].Values["other"] != "4" || loads != 6 {
		t.Errorf("got %v, %d loads", layers, loads)
	}
	if r.Key("") != nil {
		t.Error("nothing is a key")
	}
}

// A share draws as its key says.
func TestShare(t *testing.T) {
	r := New([]Layer{{Name: "admin", Admin: true}})
	s := Share{PerMillion: 0, Key: r.Key("k")}
	if s.Drawn() || s.Never() || !(Share{}).Never() || !All.Drawn() {
		t.Error("shares of none and all")
	}
	r.Modify(map[string]string{"k": "100", "f": "true"})
	if !s.Drawn() || !(Flag{Key: r.Key("f")}).Set() {
		t.Error("keys are not asked")
	}
}
