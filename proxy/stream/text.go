package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// AppendUUID appends a random UUID (version 4).
func AppendUUID(b []byte) []byte {
	var id [16]byte
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], id[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], id[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], id[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], id[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], id[10:16])
	return append(b, out[:]...)
}

// quoted is what a field's value in quotes, or a log line, cannot have of a PEM text.
var quoted = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

// QuotePEM writes a PEM text in one line, as Envoy quotes it.
func QuotePEM(text []byte) string { return quoted.Replace(string(text)) }

// JSON writes a value that has a form in it, with what could be HTML escaped as
// protobuf's JSON does.
func JSON(v any) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return ""
	}
	return angled.Replace(strings.TrimSuffix(out.String(), "\n"))
}

var angled = strings.NewReplacer("<", `\u003c`, ">", `\u003e`)
