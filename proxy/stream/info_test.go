package stream

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Whatever the two sides speak, a response that was not delivered is noted alike.
func TestCutOff(t *testing.T) {
	for _, tc := range []struct {
		why     Flags
		err     error
		flags   Flags
		details string
	}{
		{0, errors.New("broken pipe"), DownstreamTermination, "downstream_remote_disconnect"},
		{DownstreamTermination, SourceError{errors.New("interrupted")}, DownstreamTermination, "downstream_remote_disconnect"},
		{StreamIdleTimeout, SourceError{os.ErrDeadlineExceeded}, StreamIdleTimeout, "stream_idle_timeout"},
		{DurationTimeout, nil, 0, "max_duration_timeout"},
		{0, SourceError{fmt.Errorf("read: %w", os.ErrDeadlineExceeded)}, UpstreamTimeout, "response_timeout"},
		{0, SourceError{&ResetError{Reason: "CANCEL"}}, UpstreamReset, "upstream_reset_after_response_started{remote_reset}"},
		{0, SourceError{errors.New("connection reset by peer")}, UpstreamTermination, "upstream_reset_after_response_started{connection_termination}"},
	} {
		var info Info
		if info.CutOff(tc.why, tc.err); info.Flags != tc.flags || info.Details != tc.details {
			t.Errorf("%v, %v: got %v %q", tc.why, tc.err, info.Flags, info.Details)
		}
	}
}
