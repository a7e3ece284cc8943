package http1

import (
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// Whatever a field holds, it is one line or none.
func TestFieldsAreLines(t *testing.T) {
	var h stream.Header
	for _, f := range []stream.Field{{Name: "a", Value: "1"}, {Name: "b", Value: "2\r\nx-admin: 1"}, {Name: "c\nd", Value: "3"}, {Name: "e", Value: "4\r5"}, {Name: "f", Value: "6"}} {
		h.Add(f.Name, f.Value)
	}
	w := writer{buf: []byte("GET / HTTP/1.1\r\n")}
	w.fields(&h)
	if want := "GET / HTTP/1.1\r\na: 1\r\nf: 6\r\n"; string(w.buf) != want {
		t.Errorf("wrote %q; want %q", w.buf, want)
	}
}
