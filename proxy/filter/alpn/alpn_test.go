package alpn

import (
	"slices"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

type last struct{ seen *stream.ALPN }

func (l *last) Handle(req *stream.Request) (*stream.Response, error) {
	l.seen = req.ALPN
	return nil, nil
}

// The handshake upstream offers the list for the version that is spoken.
func TestALPN(t *testing.T) {
	var l last
	want := []string{"istio-http/1.1", "istio", "http/1.1"}
	if _, err := (&Filter{ALPN: stream.ALPN{HTTP1: want}}).Handle(&stream.Request{}, &l); err != nil || !slices.Equal(l.seen.HTTP1, want) {
		t.Errorf("got %v, %v; want %v", l.seen, err, want)
	}
}
