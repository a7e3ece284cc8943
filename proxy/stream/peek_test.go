package stream

import (
	"errors"
	"testing"
)

// failed is a body that cannot be read.
type failed struct {
	Bytes
	err error
}

func (f *failed) Wait() error    { return f.err }
func (f *failed) Complete() bool { return false }

type malformed struct{ error }

func (malformed) Syntax() {}

// Content that its sender got wrong is refused, also when a filter reads it ahead;
// one that stops coming is not.
func TestPeekOfBrokenBodies(t *testing.T) {
	_, _, err := Peek(&Request{Body: &failed{err: malformed{errors.New("no chunk")}}}, 100)
	if r := AsRefusal(err); r.Status != 400 || !r.Close || r.Flags != DownstreamProtocol {
		t.Errorf("malformed: %+v", r)
	}
	if _, _, err := Peek(&Request{Body: &failed{err: errors.New("gone")}}, 100); !IsSource(err) {
		t.Errorf("gone: %v", err)
	}
}
