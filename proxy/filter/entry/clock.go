package entry

import (
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
