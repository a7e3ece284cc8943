package entry

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// lastDate is the value of the field "date" for one second.
type lastDate struct {
	second int64
	text   string
}

var dates atomic.Pointer[lastDate]

// date formats a time as RFC 9110 wants it, once a second.
func date(now time.Time) string {
	second := now.Unix()
	if d := dates.Load(); d != nil && d.second == second {
		return d.text
	}
	text := now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	dates.Store(&lastDate{second, text})
	return text
}

// appendRequestID appends a random UUID (version 4).
func appendRequestID(b []byte) []byte {
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
