package route

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A value that is made of what a client sent cannot become further fields, and does not
// leave the client's own in its place.
func TestValuesOfSeveralLines(t *testing.T) {
	lines := Value{Format: func(*stream.Request, *stream.Response) string { return "a\r\nx-admin: 1" }}
	for action, want := range map[AppendAction]string{AppendOrAdd: "forged", AddIfAbsent: "forged", OverwriteOrAdd: "", OverwriteIfExists: ""} {
		var h stream.Header
		h.Add("x-user", "forged")
		op := HeaderOp{Name: "x-user", Value: lines, Append: action}
		op.Apply(&h, &stream.Request{}, nil)
		if got, _ := h.Joined("x-user"); got != want {
			t.Errorf("%v: got %q; want %q", action, got, want)
		}
	}
}
