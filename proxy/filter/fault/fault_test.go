package fault

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateenmesh/lateen/proxy/stream"
)

type ok struct{}

func (ok) Handle(*stream.Request) (*stream.Response, error) {
	return &stream.Response{Status: 200}, nil
}

var all = Share{PerMillion: 1_000_000, Step: 10_000}

func send(f *Filter, fields ...string) (int, stream.Flags, time.Duration) {
	req := &stream.Request{Info: &stream.Info{}}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	start := time.Now()
	resp, err := f.Handle(req, ok{})
	if err != nil {
		r := stream.AsRefusal(err)
		return r.Status, req.Info.Flags | r.Flags, time.Since(start)
	}
	return resp.Status, req.Info.Flags, time.Since(start)
}

// All of the requests are delayed by exactly the delay, and aborted with the
// status, when the share is all.
func TestFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if status, flags, took := send(&Filter{Delay: Delay{Share: all, For: 7 * time.Second}}); status != 200 || flags != stream.Delayed || took != 7*time.Second {
			t.Errorf("got %d, %v after %v; want 200, DI after 7s", status, flags, took)
		}
		if status, flags, took := send(&Filter{Abort: Abort{Share: all, Status: 418}}); status != 418 || flags != stream.FaultInjected || took != 0 {
			t.Errorf("got %d, %v after %v; want 418, FI at once", status, flags, took)
		}
		if status, _, took := send(&Filter{Abort: Abort{Status: 418}, Delay: Delay{For: time.Second}}); status != 200 || took != 0 {
			t.Errorf("got %d after %v with a share of nothing", status, took)
		}
	})
}

// Requests can say themselves what they want to happen to them, and to which share
// of them, never a larger one than is configured.
func TestFaultByRequest(t *testing.T) {
	const (
		delay, abort, grpc = "x-envoy-fault-delay-request", "x-envoy-fault-abort-request", "x-envoy-fault-abort-grpc-request"
		share              = "x-envoy-fault-abort-request-percentage"
	)
	synctest.Test(t, func(t *testing.T) {
		f := &Filter{Delay: Delay{Share: all, ByRequest: true}, Abort: Abort{Share: all, ByRequest: true}}
		for _, tc := range []struct {
			fields []string
			status int
			took   time.Duration
		}{
			{nil, 200, 0},
			{[]string{delay, "1500"}, 200, 1500 * time.Millisecond},
			{[]string{delay, "soon", abort, "503"}, 503, 0},
			{[]string{abort, "99"}, 200, 0},
			{[]string{abort, "600"}, 200, 0},
			{[]string{abort, "418", share, "0"}, 200, 0},
			{[]string{abort, "418", share, "100"}, 418, 0},
			{[]string{grpc, "5"}, 200, 0},
		} {
			if status, _, took := send(f, tc.fields...); status != tc.status || took != tc.took {
				t.Errorf("%q: got %d after %v; want %d after %v", tc.fields, status, took, tc.status, tc.took)
			}
		}
		req := &stream.Request{Info: &stream.Info{}}
		req.Header.Add(grpc, "14")
		if _, err := f.Handle(req, ok{}); err == nil || stream.AsRefusal(err).GRPCStatus() != 14 {
			t.Errorf("got %v; want gRPC status 14", err)
		}
		none := &Filter{Abort: Abort{ByRequest: true}}
		if status, _, _ := send(none, abort, "418", share, "100"); status != 200 {
			t.Errorf("a share of nothing became more: %d", status)
		}
	})
}
