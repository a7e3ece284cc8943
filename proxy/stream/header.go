package stream

import (
	"slices"
	"strings"
)

// Field is one header field. Names keep the case in which they arrived and are
// compared without it.
type Field struct{ Name, Value string }

// Fit reports whether a field that others made may stand on a head: it is one line, and
// it is none of those by which messages are framed and sent to a host, which the codecs
// write.
func (f Field) Fit() bool {
	for _, name := range [...]string{"content-length", "transfer-encoding", "host"} {
		if EqualName(f.Name, name) {
			return false
		}
	}
	return ValidToken(f.Name) && ValidValue(f.Value)
}

// Header is a flat list of fields in the order in which they arrived. Lookups
// scan it: requests have a dozen fields, and a scan of lengths is faster than a
// map. The zero Header is empty; a Header is reused with [Header.Reset].
type Header struct{ fields []Field }

// Len is the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// At is the i-th field.
func (h *Header) At(i int) Field { return h.fields[i] }

// Reset empties the list and keeps its memory.
func (h *Header) Reset() { h.fields = h.fields[:0] }

// Get is the value of the first field with that name, empty when there is none.
func (h *Header) Get(name string) string {
	for i := range h.fields {
		if EqualName(h.fields[i].Name, name) {
			return h.fields[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field with that name.
func (h *Header) Has(name string) bool {
	for i := range h.fields {
		if EqualName(h.fields[i].Name, name) {
			return true
		}
	}
	return false
}

// Joined is the values of all fields with that name, joined by ",". It
// allocates only when there are several.
func (h *Header) Joined(name string) (string, bool) {
	value, found := "", false
	for i := range h.fields {
		if EqualName(h.fields[i].Name, name) {
			if found {
				value += "," + h.fields[i].Value
			} else {
				value, found = h.fields[i].Value, true
			}
		}
	}
	return value, found
}

// Cookie is the first cookie of a name, without quotes; found is false when there
// is none.
func (h *Header) Cookie(name string) (value string, found bool) {
	for i := range h.fields {
		if len(h.fields[i].Name) != len("cookie") || !EqualName(h.fields[i].Name, "cookie") {
			continue
		}
		for rest := h.fields[i].Value; rest != ""; {
			var pair string
			pair, rest, _ = strings.Cut(rest, ";")
			if key, value, found := strings.Cut(strings.TrimLeft(pair, " \t"), "="); found && key == name {
				return strings.Trim(value, `"`), true
			}
		}
	}
	return "", false
}

// Add appends a field.
func (h *Header) Add(name, value string) { h.fields = append(h.fields, Field{name, value}) }

// AddAll appends fields.
func (h *Header) AddAll(list []Field) { h.fields = append(h.fields, list...) }

// Fields are all of them, in a list of its own.
func (h *Header) Fields() []Field { return slices.Clone(h.fields) }

// Set replaces all fields of that name by one.
func (h *Header) Set(name, value string) {
	for i := range h.fields {
		if EqualName(h.fields[i].Name, name) {
			h.fields[i].Value = value
			h.delFrom(i+1, name)
			return
		}
	}
	h.Add(name, value)
}

// Del removes all fields of that name.
func (h *Header) Del(name string) { h.delFrom(0, name) }

func (h *Header) delFrom(start int, name string) {
	for i := start; i < len(h.fields); i++ {
		if !EqualName(h.fields[i].Name, name) {
			continue
		}
		kept := h.fields[:i]
		for _, f := range h.fields[i+1:] {
			if !EqualName(f.Name, name) {
				kept = append(kept, f)
			}
		}
		h.fields = kept
		return
	}
}

// CopyTo makes to an equal list, sharing the strings.
func (h *Header) CopyTo(to *Header) { to.fields = append(to.fields[:0], h.fields...) }

// Swap exchanges two lists with their memory.
func (h *Header) Swap(other *Header) { h.fields, other.fields = other.fields, h.fields }

// Clone is a copy that outlives the connection's buffer.
func (h *Header) Clone() Header {
	c := Header{make([]Field, len(h.fields))}
	for i, f := range h.fields {
		c.fields[i] = Field{strings.Clone(f.Name), strings.Clone(f.Value)}
	}
	return c
}

// EqualName compares field names without case. ASCII only: names are tokens.
func EqualName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
