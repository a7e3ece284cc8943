package listener

import (
	"crypto/md5" //nolint:gosec // JA3 is one
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// fingerprinted are the parts of a ClientHello by which clients are told apart, without
// the values that clients make up so that servers get used to unknown ones (RFC 8701).
type fingerprinted struct {
	version    uint16
	ciphers    []uint16
	extensions []uint16 // by number, as they came
	groups     []uint16
	points     []uint16
	versions   []uint16
	signatures []uint16
	named      bool // there is a server name
	alpn       []byte
}

const (
	extensionGroups     = 10
	extensionPoints     = 11
	extensionSignatures = 13
	extensionVersions   = 43
)

// madeUp reports whether a value is one of RFC 8701's.
func madeUp(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// list takes a list whose length is told in so many bytes: its values of width bytes each.
func (c *cursor) list(length, width int) (out []uint16) {
	values := c.vector(length)
	for len(values.p) >= width {
		p := values.take(width)
		v := uint16(p[0])
		if width == 2 {
			v = binary.BigEndian.Uint16(p)
		}
		if width == 1 || !madeUp(v) {
			out = append(out, v)
		}
	}
	return out
}

// fingerprintOf reads a ClientHello's body. What does not fit is left out.
func fingerprintOf(p []byte) (f fingerprinted) {
	c := cursor{p: p}
	if v := c.take(2); len(v) == 2 {
		f.version = binary.BigEndian.Uint16(v)
	}
	c.take(32) // random
	c.vector(1)
	f.ciphers = c.list(2, 2)
	c.vector(1)
	extensions := c.vector(2)
	for len(extensions.p) > 0 && !extensions.bad {
		kind := extensions.take(2)
		if extensions.bad {
			break
		}
		number, data := binary.BigEndian.Uint16(kind), extensions.vector(2)
		if madeUp(number) {
			continue
		}
		f.extensions = append(f.extensions, number)
		switch number {
		case extensionSNI:
			f.named = true
		case extensionGroups:
			f.groups = data.list(2, 2)
		case extensionPoints:
			f.points = data.list(1, 1)
		case extensionVersions:
			f.versions = data.list(1, 2)
		case extensionSignatures:
			f.signatures = data.list(2, 2)
		case extensionALPN:
			list := data.vector(2)
			first := list.vector(1)
			f.alpn = first.p
		}
	}
	return f
}

// ja3 is the fingerprint of https://github.com/salesforce/ja3.
func (f *fingerprinted) ja3() string {
	text := strconv.AppendUint(nil, uint64(f.version), 10)
	for _, list := range [][]uint16{f.ciphers, f.extensions, f.groups, f.points} {
		text = append(text, ',')
		for i, v := range list {
			if i > 0 {
				text = append(text, '-')
			}
			text = strconv.AppendUint(text, uint64(v), 10)
		}
	}
	sum := md5.Sum(text) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// ja4 is the fingerprint of https://github.com/FoxIO-LLC/ja4, of TLS over TCP.
func (f *fingerprinted) ja4() string {
	version, name := f.version, byte('i')
	if len(f.versions) > 0 {
		version = slices.Max(f.versions)
	}
	if f.named {
		name = 'd'
	}
	short, known := map[uint16]string{0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2"}[version]
	if !known {
		short = "00"
	}
	alpn := "00"
	if n := len(f.alpn); n > 0 {
		first, last := f.alpn[0], f.alpn[n-1]
		if alpn = string([]byte{first, last}); !alphanumeric(first) || !alphanumeric(last) {
			alpn = hex.EncodeToString([]byte{first, last}) // as Envoy has it: JA4 takes one digit of each
		}
	}
	others := slices.DeleteFunc(slices.Clone(f.extensions), func(v uint16) bool { return v == extensionSNI || v == extensionALPN })
	slices.Sort(others)
	ciphers := slices.Sorted(slices.Values(f.ciphers))
	said := hexList(others)
	if len(f.signatures) > 0 {
		said += "_" + hexList(f.signatures)
	}
	return fmt.Sprintf("t%s%c%02d%02d%s_%s_%s", short, name, min(99, len(f.ciphers)), min(99, len(f.extensions)), alpn, shortHash(hexList(ciphers)), shortHash(said))
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func hexList(list []uint16) string {
	var text []byte
	for i, v := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = fmt.Appendf(text, "%04x", v)
	}
	return string(text)
}

// shortHash is the beginning of a hash, zeros for nothing.
func shortHash(text string) string {
	if text == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
