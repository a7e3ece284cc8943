package ratelimit

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/route"
	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

func asking(path string, fields ...string) *stream.Request {
	req := &stream.Request{Method: "GET", Path: path, Conn: &stream.Conn{Remote: netip.MustParseAddrPort("10.1.2.3:99")}, Info: &stream.Info{Cluster: "up"}}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

type passed struct{ n atomic.Int32 }

func (p *passed) Handle(*stream.Request) (*stream.Response, error) {
	p.n.Add(1)
	return &stream.Response{Status: 200}, nil
}

// A bucket gives what it holds at once, and then what it gains.
func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBucket(5, 10, time.Second)
		take := func() (n int) {
			for {
				taken, _, _ := b.Take(time.Now())
				if !taken {
					return n
				}
				n++
			}
		}
		if n := take(); n != 5 {
			t.Errorf("%d at once; want 5", n)
		}
		if _, _, wait := b.Take(time.Now()); wait != 100*time.Millisecond {
			t.Errorf("the next one in %v; want 100ms", wait)
		}
		time.Sleep(250 * time.Millisecond)
		if n := take(); n != 2 {
			t.Errorf("%d after a quarter of a second; want 2", n)
		}
		time.Sleep(time.Hour)
		if n := take(); n != 5 {
			t.Errorf("%d after an hour; want no more than it holds", n)
		}
	})
}

// Requests that come at the same time do not take the same token.
func TestBucketIsShared(t *testing.T) {
	b := NewBucket(1000, 1, time.Hour)
	now := time.Now()
	var all sync.WaitGroup
	var taken atomic.Int32
	for range 8 {
		all.Go(func() {
			for range 500 {
				if ok, _, _ := b.Take(now); ok {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d taken of 1000", taken.Load())
	}
}

func TestDescriptors(t *testing.T) {
	req := asking("/a?user=ann&x=", "x-user", "jason")
	req.Info.Metadata.Set("space", "who", "jason")
	for _, tc := range []struct {
		action Action
		want   string
	}{
		{Fixed{"k", "v"}, "[[{k v}]]"},
		{Field{Name: "x-user", Key: "user"}, "[[{user jason}]]"},
		{Field{Name: "x-none", Key: "user"}, "[]"},
		{Param{Name: "user", Key: "u"}, "[[{u ann}]]"},
		{Param{Name: "none", Key: "u"}, "[]"},
		{Client{}, "[[{remote_address 10.1.2.3}]]"},
		{Client{Masked: true, V4: 16, V6: 64}, "[[{masked_remote_address 10.1.0.0/16}]]"},
		{Cluster{}, "[[{destination_cluster up}]]"},
		{&When{Key: "header_match", Value: "v", Expect: true, Headers: []route.HeaderMatch{{Name: "x-user", Match: route.StringMatch{Kind: route.Present}}}}, "[[{header_match v}]]"},
		{&When{Key: "header_match", Value: "v", Headers: []route.HeaderMatch{{Name: "x-user", Match: route.StringMatch{Kind: route.Present}}}}, "[]"},
		{&Metadata{Key: "who", Namespace: "space", Path: []string{"who"}}, "[[{who jason}]]"},
		{&Metadata{Key: "who", Namespace: "space", Path: []string{"none"}, Default: "nobody"}, "[[{who nobody}]]"},
		{&Metadata{Key: "who", Namespace: "space", Path: []string{"none"}}, "[]"},
	} {
		if got := fmt.Sprint(descriptors([]Rule{{Actions: []Action{tc.action}}}, 0, req)); got != tc.want {
			t.Errorf("%T%+v: got %s; want %s", tc.action, tc.action, got, tc.want)
		}
	}
	if got := descriptors([]Rule{{Stage: 1, Actions: []Action{Fixed{"k", "v"}}}}, 0, req); got != nil {
		t.Errorf("another stage's: %v", got)
	}
}

// Each value of a free entry has a bucket of its own.
func TestFreeValues(t *testing.T) {
	like := func() *Bucket { return NewBucket(1, 1, time.Hour) }
	l := &Local{Enabled: runtime.All, Enforced: runtime.All, Rules: []Rule{{Actions: []Action{Field{Name: "x-user", Key: "user"}}}},
		Limits: []*Limited{{Descriptor: Descriptor{{"user", ""}}, Bucket: like(), Like: like}}, RetryAfter: true}
	var next passed
	for _, tc := range []struct {
		user string
		over bool
	}{{"ann", false}, {"bob", false}, {"ann", true}, {"bob", true}} {
		_, err := l.Handle(asking("/", "x-user", tc.user), &next)
		if (err != nil) != tc.over {
			t.Errorf("%s: got %v", tc.user, err)
		}
		if err != nil && (stream.AsRefusal(err).Status != 429 || stream.AsRefusal(err).Header[0] != stream.Field{Name: "retry-after", Value: "3600"}) {
			t.Errorf("refused with %+v", stream.AsRefusal(err))
		}
	}
	if next.n.Load() != 2 {
		t.Errorf("%d let through", next.n.Load())
	}
}

// Of more values than are kept, the one that has not come longest begins anew.
func TestMostValues(t *testing.T) {
	like := func() *Bucket { return NewBucket(1, 1, time.Hour) }
	l := &Local{Enabled: runtime.All, Enforced: runtime.All, Rules: []Rule{{Actions: []Action{Field{Name: "x-user", Key: "user"}}}},
		Limits: []*Limited{{Descriptor: Descriptor{{"user", ""}}, Bucket: like(), Like: like, Most: 2}}}
	for i, tc := range []struct {
		user string
		over bool
	}{{"ann", false}, {"bob", false}, {"ann", true}, {"eve", false}, {"ann", true}, {"bob", false}, {"eve", false}} {
		if _, err := l.Handle(asking("/", "x-user", tc.user), &passed{}); (err != nil) != tc.over {
			t.Errorf("%d: %s: got %v", i, tc.user, err)
		}
	}
}
