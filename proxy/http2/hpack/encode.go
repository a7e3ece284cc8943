package hpack

import (
	"hash/maphash"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Encoder is the sending end of one direction.
//
// It puts a field into the table when it sees it for the second time: what never
// comes again, such as a request's ID, costs the table nothing. Strings are not
// Huffman-coded: a sidecar's traffic stays in the data centre, where bytes are
// cheaper than the time to save them.
type Encoder struct {
	table dynamic
	// slots map a field's hash to the number of its insertion plus one, seen to
	// the last field with that place that was sent.
	slots, seen [256]uint32
	seed        maphash.Seed
	// lowest is the smallest size since the last section that was not announced
	// yet; pending says that there is something to announce.
	lowest  uint32
	pending bool
}

// NewEncoder makes an encoder with a table of the default size.
func NewEncoder() *Encoder {
	return &Encoder{table: dynamic{max: DefaultTableSize}, seed: maphash.MakeSeed()}
}

// Resize follows the peer's SETTINGS_HEADER_TABLE_SIZE. The table never becomes
// larger than the default size.
func (e *Encoder) Resize(size uint32) {
	size = min(size, DefaultTableSize)
	if !e.pending {
		e.lowest = size
	}
	e.pending, e.lowest = true, min(e.lowest, size)
	e.table.resize(size)
}

// Begin starts a section behind out.
func (e *Encoder) Begin(out []byte) []byte {
	if e.pending {
		if e.lowest < e.table.max {
			out = appendInteger(out, 0x20, 5, e.lowest)
		}
		out = appendInteger(out, 0x20, 5, e.table.max)
		e.pending = false
	}
	return out
}

// Field puts a field behind out. The name is written in lower case.
func (e *Encoder) Field(out []byte, name, value string) []byte {
	named := staticName(name)
	for i := named; i != 0 && int(i) < len(static) && static[i].Name == static[named].Name; i++ {
		if static[i].Value == value && value != "" {
			return appendInteger(out, 0x80, 7, i)
		}
	}
	if secret(named) {
		return e.text(out, 0x10, 4, named, name, value)
	}
	hash := uint32(maphash.String(e.seed, name)*31 + maphash.String(e.seed, value))
	at := hash & 255
	if number := e.slots[at]; number != 0 {
		if age := e.table.inserted - number; age < e.table.count {
			if known := e.table.at(age); known.hash == hash && known.Value == value && stream.EqualName(known.Name, name) {
				return appendInteger(out, 0x80, 7, uint32(len(static))+age)
			}
		}
	}
	if e.seen[at] != hash || len(name)+len(value)+overhead > int(e.table.max)/4 {
		e.seen[at] = hash
		return e.text(out, 0, 4, named, name, value)
	}
	out = e.text(out, 0x40, 6, named, name, value)
	if e.table.add(entry{Field: owned(stream.Field{Name: name, Value: value}), hash: hash}) {
		e.slots[at] = e.table.inserted
	}
	return out
}

// secret reports whether a static name's value is kept out of the tables, where
// another client's guesses could be compared with it (RFC 7541 section 7.1.3).
func secret(named uint32) bool {
	switch named {
	case 23, 32, 49, 55: // authorization, cookie, proxy-authorization, set-cookie
		return true
	}
	return false
}

// text writes a literal whose first byte begins with the bits of kind.
func (e *Encoder) text(out []byte, kind byte, prefix int, named uint32, name, value string) []byte {
	out = appendInteger(out, kind, prefix, named)
	if named == 0 {
		out = appendInteger(out, 0, 7, uint32(len(name)))
		for i := 0; i < len(name); i++ {
			c := name[i]
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			out = append(out, c)
		}
	}
	out = appendInteger(out, 0, 7, uint32(len(value)))
	return append(out, value...)
}

// appendInteger writes n into the last prefix bits of a byte that begins with
// the bits of kind, and the bytes behind it.
func appendInteger(out []byte, kind byte, prefix int, n uint32) []byte {
	mask := uint32(1)<<prefix - 1
	if n < mask {
		return append(out, kind|byte(n))
	}
	out = append(out, kind|byte(mask))
	for n -= mask; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}
