// Package session keeps a client at one endpoint: the reply tells it, in a cookie
// or a field, which endpoint answered, and its next requests go there while that
// is well. It stands before the router.
package session

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Filter keeps sessions.
type Filter struct {
	State State
	// Strict refuses a request whose endpoint is not there any more, with Status (503
	// when zero), instead of choosing another one.
	Strict bool
	Status int
}

// State is where a client carries its endpoint.
type State interface {
	// Endpoint is the one that a request names; empty for none. What only the client
	// and the proxy have between them is taken off the request.
	Endpoint(req *stream.Request) string
	// Tell tells the client who has answered, where it does not know it already.
	Tell(req *stream.Request, h *stream.Header, endpoint string, known bool)
}

// Handle implements [stream.Filter].
func (f *Filter) Handle(req *stream.Request, next stream.Handler) (*stream.Response, error) {
	wanted := f.State.Endpoint(req)
	req.Info.Wanted = stream.Wanted{Endpoint: wanted, Only: f.Strict, Status: f.Status}
	resp, err := next.Handle(req)
	if err == nil && req.Info.Upstream.IsValid() {
		got := req.Info.Upstream.String()
		f.State.Tell(req, &resp.Header, got, got == wanted)
	}
	return resp, err
}

var _ stream.Filter = (*Filter)(nil)

// Header is state in a field, in base64.
type Header struct{ Name string }

// Endpoint implements [State].
func (s Header) Endpoint(req *stream.Request) string {
	text, err := base64.StdEncoding.DecodeString(req.Header.Get(s.Name))
	if err != nil {
		return ""
	}
	return string(text)
}

// Tell implements [State].
func (s Header) Tell(_ *stream.Request, h *stream.Header, endpoint string, known bool) {
	if known {
		return
	}
	h.Set(s.Name, base64.StdEncoding.EncodeToString([]byte(endpoint)))
}

// Cookie is state in a cookie: Envoy's message with the address and the time at
// which it expires, in base64.
type Cookie struct {
	Name, Path string
	TTL        time.Duration // 0 is the browser's session
	// Attributes are further attributes, each with its "=" and value, if it has one.
	Attributes []string
}

// The fields of Envoy's message.
const (
	fieldAddress = 1
	fieldExpires = 2
)

// Endpoint implements [State].
func (s *Cookie) Endpoint(req *stream.Request) string {
	if s.Path != "" && !within(req.PathOnly(), s.Path) {
		return ""
	}
	value, _ := req.Header.Cookie(s.Name)
	message, err := base64.StdEncoding.DecodeString(value)
	if err != nil || value == "" {
		return ""
	}
	address, expires, ok := decode(message)
	switch {
	case !ok:
		return string(message) // an address as it stands, as Envoy wrote it once
	case expires != 0 && time.Now().Unix() > expires:
		return ""
	}
	return address
}

// within reports whether a path is below a cookie's.
func within(path, cookie string) bool {
	if len(path) < len(cookie) || path[:len(cookie)] != cookie {
		return false
	}
	return len(path) == len(cookie) || cookie[len(cookie)-1] == '/' || path[len(cookie)] == '/'
}

func decode(message []byte) (address string, expires int64, ok bool) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return "", 0, false
		}
		message = message[n:]
		switch {
		case field == fieldAddress && kind == protowire.BytesType:
			text, n := protowire.ConsumeString(message)
			if n < 0 {
				return "", 0, false
			}
			address, message = text, message[n:]
		case field == fieldExpires && kind == protowire.VarintType:
			value, n := protowire.ConsumeVarint(message)
			if n < 0 {
				return "", 0, false
			}
			expires, message = int64(value), message[n:]
		default:
			n := protowire.ConsumeFieldValue(field, kind, message)
			if n < 0 {
				return "", 0, false
			}
			message = message[n:]
		}
	}
	return address, expires, address != ""
}

// Tell implements [State].
func (s *Cookie) Tell(req *stream.Request, h *stream.Header, endpoint string, known bool) {
	if known || s.Path != "" && !within(req.PathOnly(), s.Path) {
		return
	}
	message := protowire.AppendString(protowire.AppendTag(nil, fieldAddress, protowire.BytesType), endpoint)
	if s.TTL > 0 {
		message = protowire.AppendVarint(protowire.AppendTag(message, fieldExpires, protowire.VarintType), uint64(time.Now().Add(s.TTL).Unix()))
	}
	value := fmt.Sprintf("%s=%q", s.Name, base64.StdEncoding.EncodeToString(message))
	if s.TTL > 0 {
		value += "; Max-Age=" + strconv.FormatInt(int64(s.TTL/time.Second), 10)
	}
	if s.Path != "" {
		value += "; Path=" + s.Path
	}
	for _, a := range s.Attributes {
		value += "; " + a
	}
	h.Add("set-cookie", value+"; HttpOnly")
}
