package session

import (
	"encoding/base64"
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Envelope is state around a field with which the upstream keeps sessions of its
// own: the client gets both, and the upstream sees only what it wrote.
type Envelope struct{ Name string }

// own stands before the upstream's own value.
const own = "UV:"

// Endpoint implements [State].
func (s Envelope) Endpoint(req *stream.Request) string {
	value := req.Header.Get(s.Name)
	if value == "" {
		return ""
	}
	endpoint, inner, ok := openEnvelope(value)
	if !ok {
		return ""
	}
	req.Header.Set(s.Name, inner)
	return endpoint
}

// openEnvelope splits a value into the endpoint and what the upstream wrote; ok is
// false where that is not there. An endpoint that cannot be read is none.
func openEnvelope(value string) (endpoint, inner string, ok bool) {
	first := true
	for part := range strings.SplitSeq(value, ";") {
		switch coded, marked := strings.CutPrefix(part, own); {
		case part == "":
		case first:
			endpoint, first = plain(part), false
		case marked && inner == "":
			inner = plain(coded)
		}
	}
	if inner == "" {
		return "", "", false
	}
	return endpoint, inner, true
}

func plain(coded string) string {
	text, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || !stream.ValidValue(string(text)) {
		return "" // a line's end in it would begin another field
	}
	return string(text)
}

// Tell implements [State]. Only a reply in which the upstream says something of a
// session, once, makes one.
func (s Envelope) Tell(_ *stream.Request, h *stream.Header, endpoint string, _ bool) {
	values := 0
	for i := range h.Len() {
		if stream.EqualName(h.At(i).Name, s.Name) {
			values++
		}
	}
	if values != 1 {
		return
	}
	h.Set(s.Name, base64.StdEncoding.EncodeToString([]byte(endpoint))+";"+own+base64.StdEncoding.EncodeToString([]byte(h.Get(s.Name))))
}
