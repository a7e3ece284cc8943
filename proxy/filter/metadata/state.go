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
	// Shared leaves it for the upstream connections that are opened for the request, too.
	Shared bool
}

// Handle implements [stream.Filter].
func (s State) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	for i := range s {
		s[i].leave(req, &req.Info.State, &req.Info.Shared)
	}
	return next.Handle(req)
}

// leave makes the string and puts it where it belongs.
func (o *Object) leave(req *stream.Request, into, shared *map[string]string) {
	value := o.Value(req)
	if value == "" && o.SkipEmpty {
		return
	}
	put(into, o.Key, value)
	if o.Shared {
		put(shared, o.Key, value)
	}
}

func put(into *map[string]string, key, value string) {
	if *into == nil {
		*into = map[string]string{}
	}
	(*into)[key] = value
}

// Admit leaves strings about a connection, for all of its requests. It lets every
// connection go on.
func (s State) Admit(conn *stream.Conn, info *stream.Info) (bool, string) {
	req := &stream.Request{Conn: conn, Info: info}
	for i := range s {
		s[i].leave(req, &conn.State, &conn.Shared)
	}
	return true, ""
}

var _ stream.Filter = State{}
