package router

import (
	"errors"
	"os"
	"time"

	"github.com/lateenmesh/lateen/proxy/cluster"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// errOverlong is how a try ends that lasts longer than its cluster allows.
var errOverlong = &stream.Refusal{Flags: stream.UpstreamMaxDuration, Details: "upstream_max_stream_duration_reached"}

// streamEnd is when a try that begins now has to be over because the cluster says so;
// zero where it does not.
func streamEnd(c *cluster.Cluster) time.Time {
	if c.StreamDuration == 0 {
		return time.Time{}
	}
	return time.Now().Add(c.StreamDuration)
}

func overlong(end time.Time) bool { return !end.IsZero() && !time.Now().Before(end) }

// sooner is when a try has to be over: at the deadline, or when its stream has
// lasted as long as it may.
func (a *attempt) sooner(deadline time.Time) time.Time {
	if a.streamEnd.IsZero() || !deadline.IsZero() && deadline.Before(a.streamEnd) {
		return deadline
	}
	return a.streamEnd
}

// briefBody tells that a response was cut off because its stream lasted too long.
type briefBody struct {
	stream.Wrapped
	end time.Time
}

// Read implements [stream.Body].
func (b *briefBody) Read(p []byte) (int, error) { return stream.ReadBuffered(b, p) }

// Wait implements [stream.Body].
func (b *briefBody) Wait() error {
	err := b.Body.Wait()
	if errors.Is(err, os.ErrDeadlineExceeded) && overlong(b.end) {
		return errOverlong
	}
	return err
}

var _ stream.Framed = (*briefBody)(nil)
