package ads

import (
	"maps"
	"slices"
)

// sotw is the state-of-the-world variant: every request names all that is
// wanted, every response of listeners and clusters holds all that there is.
type sotw struct {
	types map[string]*sotwType
}

type sotwType struct {
	names   []string // sorted
	named   bool     // a request of this stream had names: no names are nothing then
	version string   // last accepted
	nonce   string   // of the last response on this stream
}

func newSotW() *sotw { return &sotw{types: map[string]*sotwType{}} }

// open forgets the nonces, which belong to a stream, and keeps the versions.
func (s *sotw) open() []message {
	var out []message
	for _, url := range slices.SortedFunc(maps.Keys(s.types), byOrder) {
		t := s.types[url]
		t.nonce, t.named = "", false
		if len(t.names) > 0 {
			out = append(out, t.request(url))
		}
	}
	return out
}

// request asks for everything in the way that all servers know, without names, where
// nothing else is wanted.
func (t *sotwType) request(url string) message {
	m := message{typeURL: url, version: t.version, nonce: t.nonce}
	if t.named || len(t.names) != 1 || t.names[0] != Everything {
		m.names, t.named = t.names, len(t.names) > 0 || t.named
	}
	return m
}

func (s *sotw) want(url string, names []string) []message {
	names = slices.Sorted(slices.Values(names))
	t := s.types[url]
	if t == nil {
		t = &sotwType{}
		s.types[url] = t
	}
	if slices.Equal(t.names, names) {
		return nil
	}
	t.names = names
	return []message{t.request(url)}
}

// answer repeats the last accepted version when it refuses: "the version_info
// provided to the server will be the most recent successfully processed
// version".
func (s *sotw) answer(r response, err error) message {
	t := s.types[r.typeURL]
	if t == nil {
		t = &sotwType{}
		s.types[r.typeURL] = t
	}
	t.nonce = r.nonce
	if err != nil {
		m := t.request(r.typeURL)
		m.problem = err.Error()
		return m
	}
	t.version = r.update.Version
	return t.request(r.typeURL)
}

// forget does nothing: versions are of responses, not of resources.
func (s *sotw) forget(string, []string) {}
