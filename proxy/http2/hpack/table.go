// Package hpack compresses the header sections of HTTP/2 (RFC 7541). It is part
// of the codec: each direction of a connection has an encoder at one end and a
// decoder at the other, and their tables change in step with every section.
package hpack

import (
	"errors"
	"unsafe"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Errors that end the connection: its tables are no longer in step.
var (
	errHuffman   = errors.New("hpack: invalid Huffman code")
	errInteger   = errors.New("hpack: integer is too long")
	errTruncated = errors.New("hpack: header block ends inside a field")
	errIndex     = errors.New("hpack: index outside of the tables")
	errResize    = errors.New("hpack: table size update where none may be")
)

// DefaultTableSize is the size of a dynamic table until settings say otherwise
// (RFC 9113 section 6.5.2, SETTINGS_HEADER_TABLE_SIZE).
const DefaultTableSize = 4096

// overhead is what an entry counts beyond its strings (RFC 7541 section 4.1).
const overhead = 32

// entry is a field in a table. Its strings are never changed.
type entry struct {
	stream.Field
	hash  uint32 // the encoder's
	valid bool   // the decoder's: allowed in a message
}

// owned copies a field's strings into one allocation of their own. (A
// concatenation would not copy when one of them is empty.)
func owned(f stream.Field) stream.Field {
	both := append(append(make([]byte, 0, len(f.Name)+len(f.Value)), f.Name...), f.Value...)
	text := unsafe.String(unsafe.SliceData(both), len(both))
	return stream.Field{Name: text[:len(f.Name)], Value: text[len(f.Name):]}
}

func (e *entry) size() uint32 { return uint32(len(e.Name) + len(e.Value) + overhead) }

// dynamic is the table that grows with the connection: a ring, the newest entry
// last.
type dynamic struct {
	ring      []entry // its length is a power of two
	inserted  uint32  // how many there have been; entry number n lies at n % len(ring)
	count     uint32  // how many there are
	size, max uint32
}

// at is the i-th newest entry, from 0.
func (d *dynamic) at(i uint32) *entry {
	return &d.ring[(d.inserted-1-i)&uint32(len(d.ring)-1)]
}

// add inserts an entry and evicts the oldest ones for it. One that is too large
// empties the table (RFC 7541 section 4.4).
func (d *dynamic) add(e entry) bool {
	size := e.size()
	if size > d.max {
		d.shrink(0)
		return false
	}
	d.shrink(d.max - size)
	if int(d.count) == len(d.ring) {
		d.grow()
	}
	d.ring[d.inserted&uint32(len(d.ring)-1)] = e
	d.inserted++
	d.count++
	d.size += size
	return true
}

// shrink evicts until the table is not larger than size.
func (d *dynamic) shrink(size uint32) {
	for d.size > size {
		oldest := d.at(d.count - 1)
		d.size -= oldest.size()
		*oldest = entry{}
		d.count--
	}
}

func (d *dynamic) grow() {
	ring := make([]entry, max(16, 2*len(d.ring)))
	for i := range d.count {
		n := d.inserted - d.count + i
		ring[n&uint32(len(ring)-1)] = d.ring[n&uint32(len(d.ring)-1)]
	}
	d.ring = ring
}

// resize changes the limit.
func (d *dynamic) resize(size uint32) {
	d.max = size
	d.shrink(size)
}

// static is RFC 7541 appendix A; index 0 is not used.
var static = [...]stream.Field{
	{}, {Name: ":authority"}, {Name: ":method", Value: "GET"}, {Name: ":method", Value: "POST"}, {Name: ":path", Value: "/"},
	{Name: ":path", Value: "/index.html"}, {Name: ":scheme", Value: "http"}, {Name: ":scheme", Value: "https"},
	{Name: ":status", Value: "200"}, {Name: ":status", Value: "204"}, {Name: ":status", Value: "206"}, {Name: ":status", Value: "304"},
	{Name: ":status", Value: "400"}, {Name: ":status", Value: "404"}, {Name: ":status", Value: "500"}, {Name: "accept-charset"},
	{Name: "accept-encoding", Value: "gzip, deflate"}, {Name: "accept-language"}, {Name: "accept-ranges"}, {Name: "accept"},
	{Name: "access-control-allow-origin"}, {Name: "age"}, {Name: "allow"}, {Name: "authorization"}, {Name: "cache-control"},
	{Name: "content-disposition"}, {Name: "content-encoding"}, {Name: "content-language"}, {Name: "content-length"},
	{Name: "content-location"}, {Name: "content-range"}, {Name: "content-type"}, {Name: "cookie"}, {Name: "date"}, {Name: "etag"},
	{Name: "expect"}, {Name: "expires"}, {Name: "from"}, {Name: "host"}, {Name: "if-match"}, {Name: "if-modified-since"},
	{Name: "if-none-match"}, {Name: "if-range"}, {Name: "if-unmodified-since"}, {Name: "last-modified"}, {Name: "link"},
	{Name: "location"}, {Name: "max-forwards"}, {Name: "proxy-authenticate"}, {Name: "proxy-authorization"}, {Name: "range"},
	{Name: "referer"}, {Name: "refresh"}, {Name: "retry-after"}, {Name: "server"}, {Name: "set-cookie"},
	{Name: "strict-transport-security"}, {Name: "transfer-encoding"}, {Name: "user-agent"}, {Name: "vary"}, {Name: "via"},
	{Name: "www-authenticate"},
}

// staticSlots finds a name's first static entry by a hash of its length, its
// first and its last byte: one probe, then the next slot while it is another's.
var staticSlots = func() (slots [256]uint8) {
	for i := 1; i < len(static); i++ {
		if static[i].Name == static[i-1].Name {
			continue
		}
		at := staticHash(static[i].Name)
		for slots[at] != 0 {
			at++
		}
		slots[at] = uint8(i)
	}
	return slots
}()

func staticHash(name string) uint8 {
	return uint8(len(name))*37 + (name[0]|0x20)*11 + (name[len(name)-1]|0x20)*5
}

// staticName is the index of the first static entry with that name, 0 for none.
func staticName(name string) uint32 {
	if name == "" {
		return 0
	}
	for at := staticHash(name); staticSlots[at] != 0; at++ {
		if i := staticSlots[at]; stream.EqualName(static[i].Name, name) {
			return uint32(i)
		}
	}
	return 0
}
