package route

import (
	"strings"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Scopes has a route table for each scope. A request's scope is a key that is made
// of its fields.
type Scopes struct {
	Key []KeyPart
	// Tables are by what [ScopeKey] makes of the parts.
	Tables map[string]*Current
}

// KeyPart is an element of a field.
type KeyPart struct {
	Name string // of the field, or ":authority", ":path", ":method", ":scheme"
	// Separator stands between elements; without one there is one element.
	Separator string
	// Index is the element that counts, where By is nil.
	Index int
	// By is by what it is found otherwise: a key in front of its value.
	By *Keyed
}

// Keyed is how an element begins.
type Keyed struct{ Key, Separator string }

// find is the table of the request's scope, nil when that has none.
func (s *Scopes) find(req *stream.Request) *Table {
	var room [128]byte
	key := room[:0]
	for i := range s.Key {
		value, found := s.Key[i].of(req)
		if !found {
			return nil
		}
		key = appendPart(key, value)
	}
	if t := s.Tables[string(key)]; t != nil {
		return t.Load()
	}
	return nil
}

// ScopeKey joins the parts of a key.
func ScopeKey(parts []string) string {
	var key []byte
	for _, p := range parts {
		key = appendPart(key, p)
	}
	return string(key)
}

// appendPart ends a part with a byte that no field has.
func appendPart(key []byte, part string) []byte { return append(append(key, part...), 0) }

// of is the part of a request's key, of the first field of that name.
func (p *KeyPart) of(req *stream.Request) (part string, found bool) {
	value, found := firstField(req, p.Name)
	if !found || p.By == nil && p.Separator == "" {
		return value, found
	}
	for i := 0; ; i++ {
		element, rest, more := value, "", false
		if p.Separator != "" {
			element, rest, more = strings.Cut(value, p.Separator)
		}
		switch {
		case p.By == nil && i == p.Index:
			return element, true
		case p.By != nil:
			if key, part, _ := strings.Cut(element, p.By.Separator); key == p.By.Key {
				return part, true
			}
		}
		if value = rest; !more {
			return "", false
		}
	}
}

func firstField(req *stream.Request, name string) (string, bool) {
	if name[0] == ':' || stream.EqualName(name, "host") {
		return FieldOf(req, name)
	}
	for i := range req.Header.Len() {
		if f := req.Header.At(i); stream.EqualName(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}
