package http2

import (
	"testing"
	"testing/synctest"

	oracle "golang.org/x/net/http2"
)

// RFC 9113 section 6.8: what comes on streams that a GOAWAY has left out is ignored.
// All of it may come late, trailers too: requests that were taken up do not suffer.
func TestStreamsBehindADrainAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, release := draining(t)
		r.next() // the first GOAWAY
		r.must(r.framer.WritePing(true, r.next().(*oracle.PingFrame).Data))
		if f, ok := r.next().(*oracle.GoAwayFrame); !ok || f.LastStreamID != 1 {
			t.Fatalf("got %v", f)
		}
		r.headers(3, false, post...)
		r.must(r.framer.WriteData(3, false, []byte("x")))
		r.headers(3, true, "x-trailer", "1")
		synctest.Wait()
		close(release)
		if f, ok := r.next().(*oracle.MetaHeadersFrame); !ok || f.StreamID != 1 || !f.StreamEnded() {
			t.Errorf("got %v; want the first request's response", f)
		}
		if f := r.next(); f != nil {
			t.Errorf("got %v; want the end", f)
		}
	})
}
