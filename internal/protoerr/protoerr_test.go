package protoerr

import (
	"errors"
	"testing"
)

// What differs between builds is left out.
func TestText(t *testing.T) {
	for _, in := range []string{"proto: (seconds:1 nanos:2) at 3", "proto:\u00a0(seconds:1  nanos:2) at 3"} {
		if got, want := Text(errors.New(in)), "(seconds:1 nanos:2) at 3"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
