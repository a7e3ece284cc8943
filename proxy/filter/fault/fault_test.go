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

func send(f *Filter) (int, stream.Flags, time.Duration) {
	req := &stream.Request{Info: &stream.Info{}}
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
		if status, flags, took := send(&Filter{Delay: 7 * time.Second, DelayPerMillion: 1_000_000}); status != 200 || flags != stream.Delayed || took != 7*time.Second {
			t.Errorf("got %d, %v after %v; want 200, DI after 7s", status, flags, took)
		}
		if status, flags, took := send(&Filter{Status: 418, AbortPerMillion: 1_000_000}); status != 418 || flags != stream.FaultInjected || took != 0 {
			t.Errorf("got %d, %v after %v; want 418, FI at once", status, flags, took)
		}
		if status, _, took := send(&Filter{Status: 418, Delay: time.Second}); status != 200 || took != 0 {
			t.Errorf("got %d after %v with a share of nothing", status, took)
		}
	})
}
