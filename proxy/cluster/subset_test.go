package cluster

import (
	"fmt"
	"testing"
)

func label(pairs ...string) Labels {
	var l Labels
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, Label{pairs[i], pairs[i+1]})
	}
	return Sorted(l)
}

// A request goes to the endpoints that have its labels, and otherwise where the
// selector says, or the cluster.
func TestSubsets(t *testing.T) {
	eps := endpointsOf(4, nil)
	for i, l := range []Labels{label("v", "1", "stage", "prod"), label("v", "1", "stage", "dev"), label("v", "2", "stage", "prod"), label("other", "x")} {
		eps[i].Rare = &Rare{Labels: l}
	}
	s := Subsets{Default: label("stage", "prod"), Selectors: []Selector{
		{Keys: []string{"v"}, Fallback: Unsaid}, {Keys: []string{"stage", "v"}, Fallback: ToKeys, FallbackKeys: []string{"v"}}, {Keys: []string{"stage"}, Fallback: ToNobody}, {Keys: []string{"other"}, Fallback: ToAny},
	}}
	for _, tc := range []struct {
		ask      Labels
		fallback Fallback
		want     []int
	}{
		{label("v", "1"), ToNobody, []int{0, 1}},
		{label("v", "2"), ToNobody, []int{2}},
		{label("v", "1", "stage", "dev"), ToNobody, []int{1}},
		{label("v", "2", "stage", "dev"), ToNobody, []int{2}}, // by its version alone
		{label("v", "3", "stage", "dev"), ToNobody, nil},
		{label("v", "3", "stage", "dev"), ToAny, []int{0, 1, 2, 3}},
		{label("v", "3"), ToNobody, nil},
		{label("v", "3"), ToAny, []int{0, 1, 2, 3}},
		{label("v", "3"), ToDefault, []int{0, 2}},
		{label("stage", "test"), ToAny, nil},
		{label("other", "y"), ToNobody, []int{0, 1, 2, 3}},
		{label("unknown", "1"), ToNobody, nil},
		{label("unknown", "1"), ToDefault, []int{0, 2}},
		{nil, ToNobody, nil},
		{nil, ToDefault, []int{0, 2}},
	} {
		own := s
		own.Fallback = tc.fallback
		c := New(&Config{Endpoints: eps, Subsets: &own}, Deps{})
		got := map[string]bool{}
		for range 40 {
			if h := c.Pick(Choice{Labels: tc.ask}); h != nil {
				got[h.Text()] = true
			}
		}
		want := map[string]bool{}
		for _, i := range tc.want {
			want[c.Hosts()[i].Text()] = true
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, else %d: got %v; want %v", tc.ask, tc.fallback, got, want)
		}
	}
	// The default one is only made for those who may need it.
	for _, tc := range []struct {
		subsets Subsets
		want    bool
	}{{Subsets{}, false}, {Subsets{Fallback: ToDefault}, true}, {Subsets{Selectors: []Selector{{Keys: []string{"v"}, Fallback: ToDefault}}}, true}} {
		c := New(&Config{Endpoints: eps, Subsets: &tc.subsets}, Deps{})
		if got := c.endpoints.Load().subsets[defaultSubset] != nil; got != tc.want {
			t.Errorf("%+v: there is a default one %v", tc.subsets, got)
		}
	}
	// No default labels are everybody's.
	c := New(&Config{Endpoints: eps, Subsets: &Subsets{Fallback: ToDefault}}, Deps{})
	if h := c.Pick(Choice{}); h == nil {
		t.Error("nobody in an empty default subset")
	}
}

func TestLabelsOver(t *testing.T) {
	got := label("a", "1", "c", "3").Over(label("b", "2", "c", "0"))
	if fmt.Sprint(got) != fmt.Sprint(label("a", "1", "b", "2", "c", "3")) {
		t.Errorf("got %v", got)
	}
	if got := Labels(nil).Over(label("a", "1")); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
