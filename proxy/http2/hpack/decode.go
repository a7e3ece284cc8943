package hpack

import (
	"strings"
	"unsafe"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Decoder is the receiving end of one direction.
type Decoder struct {
	table dynamic
	limit uint32 // what we have allowed the table to become
}

// NewDecoder makes a decoder whose table may become so large.
func NewDecoder(size uint32) *Decoder {
	return &Decoder{table: dynamic{max: size}, limit: size}
}

// Field is a decoded field.
type Field struct {
	stream.Field
	// Valid reports whether a message may have the field: its name is a token in
	// lower case or a pseudo-header's, its value has no byte that could end it
	// (RFC 9113 section 8.2.1).
	Valid bool
}

// Next decodes the field at the beginning of block and returns the rest of it.
// Strings that no table holds are put behind text, which is returned too; they
// live as long as its memory. first says that no field of the section came
// before. ok is false at the end of the block; an error ends the connection
// (RFC 9113 section 4.3, COMPRESSION_ERROR).
func (d *Decoder) Next(block, text []byte, first bool) (f Field, rest, texts []byte, ok bool, err error) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		if !first {
			return f, nil, text, false, errResize
		}
		var size uint32
		if size, block, err = integer(block, 5); err != nil {
			return f, nil, text, false, err
		}
		if size > d.limit {
			return f, nil, text, false, errResize
		}
		d.table.resize(size)
	}
	if len(block) == 0 {
		return f, nil, text, false, nil
	}
	if block[0]&0x80 != 0 {
		f, block, err = d.indexed(block)
		return f, block, text, err == nil, err
	}
	f, block, text, err = d.literal(block, text)
	return f, block, text, err == nil, err
}

// indexed reads a field that is in a table as a whole.
func (d *Decoder) indexed(block []byte) (Field, []byte, error) {
	index, rest, err := integer(block, 7)
	if err != nil {
		return Field{}, nil, err
	}
	e, err := d.lookup(index)
	return Field{e.Field, e.valid}, rest, err
}

func (d *Decoder) lookup(index uint32) (entry, error) {
	switch {
	case index == 0:
		return entry{}, errIndex
	case index < uint32(len(static)):
		return entry{Field: static[index], valid: true}, nil
	case index-uint32(len(static)) < d.table.count:
		return *d.table.at(index - uint32(len(static))), nil
	}
	return entry{}, errIndex
}

// literal reads a field of which at least the value stands in the block.
func (d *Decoder) literal(block, text []byte) (Field, []byte, []byte, error) {
	prefix, insert := 4, block[0]&0x40 != 0
	if insert {
		prefix = 6
	}
	index, block, err := integer(block, prefix)
	if err != nil {
		return Field{}, nil, text, err
	}
	var f Field
	var named entry
	if index != 0 {
		if named, err = d.lookup(index); err != nil {
			return f, nil, text, err
		}
		f.Name = named.Name
	} else if f.Name, block, text, err = literalText(block, text); err != nil {
		return f, nil, text, err
	}
	if f.Value, block, text, err = literalText(block, text); err != nil {
		return f, nil, text, err
	}
	f.Valid = validValue(f.Value) && (index != 0 && (named.valid || validName(f.Name)) || index == 0 && validName(f.Name))
	if insert {
		if index != 0 {
			f.Value = strings.Clone(f.Value) // the name is a table's already
		} else {
			f.Field = owned(f.Field)
		}
		d.table.add(entry{Field: f.Field, valid: f.Valid})
	}
	return f, block, text, nil
}

// literalText reads a string (RFC 7541 section 5.2) and puts it behind text.
func literalText(block, text []byte) (string, []byte, []byte, error) {
	if len(block) == 0 {
		return "", nil, text, errTruncated
	}
	coded := block[0]&0x80 != 0
	n, block, err := integer(block, 7)
	if err != nil {
		return "", nil, text, err
	}
	if uint64(n) > uint64(len(block)) {
		return "", nil, text, errTruncated
	}
	from := len(text)
	if coded {
		if text, err = appendDecoded(text, block[:n]); err != nil {
			return "", nil, text, err
		}
	} else {
		text = append(text, block[:n]...)
	}
	added := text[from:]
	return unsafe.String(unsafe.SliceData(added), len(added)), block[n:], text, nil
}

// integer reads a number whose first bits are the last prefix bits of a byte
// (RFC 7541 section 5.1).
func integer(block []byte, prefix int) (uint32, []byte, error) {
	if len(block) == 0 {
		return 0, nil, errTruncated
	}
	mask := uint32(1)<<prefix - 1
	n := uint32(block[0]) & mask
	block = block[1:]
	if n < mask {
		return n, block, nil
	}
	for shift := 0; ; shift += 7 {
		if len(block) == 0 {
			return 0, nil, errTruncated
		}
		if shift > 21 {
			return 0, nil, errInteger
		}
		b := block[0]
		block = block[1:]
		n += uint32(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, block, nil
		}
	}
}

// nameBytes are the bytes of a token, capital letters left out (RFC 9110 section
// 5.6.2, RFC 9113 section 8.2).
var nameBytes = func() (ok [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		ok[c] = true
	}
	return ok
}()

func validName(name string) bool {
	if len(name) > 1 && name[0] == ':' {
		name = name[1:]
	}
	for i := 0; i < len(name); i++ {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return name != ""
}

func validValue(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return value == "" || !blank(value[0]) && !blank(value[len(value)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
