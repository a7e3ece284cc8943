package ads

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var exact = cmp.AllowUnexported(message{})

func set(url, nonce, version string, names ...string) response {
	r := response{typeURL: url, nonce: nonce, update: Update{Type: url, Version: version}}
	for _, n := range names {
		r.update.Set = append(r.update.Set, Resource{Name: n, Version: version})
	}
	return r
}

// "For subscriptions to wildcard types the first request has no names; on
// reconnect the client tells the versions that it already has."
func TestDeltaReconnect(t *testing.T) {
	d := newDelta()
	got := d.want(ClusterType, []string{Everything})
	if diff := cmp.Diff(got, []message{{typeURL: ClusterType, initial: map[string]string{}}}, exact); diff != "" {
		t.Fatal("first request:", diff)
	}
	d.answer(set(ClusterType, "n1", "1", "a", "b"), nil)
	d.answer(response{typeURL: ClusterType, nonce: "n2", update: Update{Removed: []string{"b"}}}, nil)
	d.want(EndpointType, []string{"y", "x"})
	got = d.open()
	want := []message{
		{typeURL: ClusterType, initial: map[string]string{"a": "1"}},
		{typeURL: EndpointType, subscribe: []string{"x", "y"}, initial: map[string]string{}},
	}
	if diff := cmp.Diff(got, want, exact); diff != "" {
		t.Error("after a reconnect:", diff)
	}
}

// "resource_names_subscribe/unsubscribe: … add/remove individual resources
// to the set of tracked resources."
func TestDeltaSubscriptionChanges(t *testing.T) {
	d := newDelta()
	d.want(EndpointType, []string{"a", "b"})
	d.answer(set(EndpointType, "n", "1", "a", "b"), nil)
	got := d.want(EndpointType, []string{"b", "c"})
	want := []message{{typeURL: EndpointType, subscribe: []string{"c"}, unsubscribe: []string{"a"}}}
	if diff := cmp.Diff(got, want, exact); diff != "" {
		t.Error(diff)
	}
	if got := d.want(EndpointType, []string{"c", "b"}); got != nil {
		t.Errorf("got %v for an unchanged wish, want nothing", got)
	}
	if _, held := d.types[EndpointType].held["a"]; held {
		t.Error("a resource that is not wanted any more is told as held")
	}
}

// "The client can request both everything and resources by name": everything is asked
// for without names as long as it is all, and on a stream where a name was sent, or
// will be, it is named.
func TestEverything(t *testing.T) {
	none := map[string]string{}
	for _, tc := range []struct {
		name            string
		delta, sotw     []message // of which the last one is the next stream's first
		wanted, instead []string
	}{
		{"beside a name", []message{{initial: none}, {subscribe: []string{Everything, "a"}}, {subscribe: []string{Everything, "a"}, initial: none}},
			[]message{{}, {names: []string{Everything, "a"}}, {names: []string{Everything, "a"}}}, []string{Everything}, []string{Everything, "a"}},
		{"without the name", []message{{subscribe: []string{Everything, "a"}, initial: none}, {unsubscribe: []string{"a"}}, {initial: none}},
			[]message{{names: []string{Everything, "a"}}, {names: []string{Everything}}, {}}, []string{Everything, "a"}, []string{Everything}},
		{"names alone", []message{{subscribe: []string{"a"}, initial: none}, {subscribe: []string{"b"}}, {subscribe: []string{"a", "b"}, initial: none}},
			[]message{{names: []string{"a"}}, {names: []string{"a", "b"}}, {names: []string{"a", "b"}}}, []string{"a"}, []string{"a", "b"}},
		{"nothing any more", []message{{subscribe: []string{"a"}, initial: none}, {unsubscribe: []string{"a"}}},
			[]message{{names: []string{"a"}}, {names: []string{}}}, []string{"a"}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, each := range []struct {
				protocol protocol
				want     []message
			}{{newDelta(), tc.delta}, {newSotW(), tc.sotw}} {
				for i := range each.want {
					each.want[i].typeURL = ClusterType
				}
				got := append(each.protocol.want(ClusterType, tc.wanted), each.protocol.want(ClusterType, tc.instead)...)
				if diff := cmp.Diff(append(got, each.protocol.open()...), each.want, exact, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%T: %s", each.protocol, diff)
				}
			}
		})
	}
}

// "If the client rejects the update it replies with error_detail populated and
// the response's nonce."
func TestNack(t *testing.T) {
	d := newDelta()
	d.want(ClusterType, []string{Everything})
	got := d.answer(set(ClusterType, "n1", "1", "a"), errors.New(`cluster "a": lb_policy: is not supported`))
	want := message{typeURL: ClusterType, nonce: "n1", problem: `cluster "a": lb_policy: is not supported`}
	if diff := cmp.Diff(got, want, exact); diff != "" {
		t.Error(diff)
	}
	if len(d.types[ClusterType].held) != 0 {
		t.Error("a refused resource is told as held")
	}
}

// "The version_info of a rejecting request is the most recent successfully
// processed version."
func TestSotWNack(t *testing.T) {
	s := newSotW()
	s.want(RouteType, []string{"80"})
	s.answer(set(RouteType, "n1", "v1"), nil)
	got := s.answer(set(RouteType, "n2", "v2"), errors.New("no"))
	want := message{typeURL: RouteType, version: "v1", nonce: "n2", names: []string{"80"}, problem: "no"}
	if diff := cmp.Diff(got, want, exact); diff != "" {
		t.Error(diff)
	}
	again := []message{{typeURL: RouteType, version: "v1", names: []string{"80"}}}
	if diff := cmp.Diff(s.open(), again, exact); diff != "" {
		t.Error("a new stream keeps the version and forgets the nonce:", diff)
	}
}

// Pauses double up to the bound and never vanish.
func TestBackoff(t *testing.T) {
	b := backoff{first: time.Second, most: 4 * time.Second}
	for _, bound := range []time.Duration{1, 2, 4, 4} {
		bound *= time.Second
		if got := b.next(); got < bound/2 || got > bound {
			t.Errorf("got %v, want between %v and %v", got, bound/2, bound)
		}
	}
}
