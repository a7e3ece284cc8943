package metadata

import "github.com/lateenmesh/lateen/proxy/stream"

// State leaves strings by name, one after the other.
type State []Object

// Object is one string.
type Object struct {
	Key   string
	Value func(*stream.Request) string
	// SkipEmpty leaves what is there as it is when the value is empty.
	SkipEmpty bool
}

// Handle implements [stream.Filter].
func (s State) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	for i := range s {
		value := s[i].Value(req)
		if value == "" && s[i].SkipEmpty {
			continue
		}
		if req.Info.State == nil {
			req.Info.State = map[string]string{}
		}
		req.Info.State[s[i].Key] = value
	}
	return next.Handle(req)
}

var _ stream.Filter = State{}
