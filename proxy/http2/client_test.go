package http2

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// answering is a server that speaks in frames: it is given the heads of requests.
func answering(framer **oracle.Framer, request func(f *oracle.Framer, id uint32)) func(net.Conn) {
	return func(conn net.Conn) {
		f := oracle.NewFramer(conn, conn)
		*framer = f
		_, _ = io.ReadFull(conn, make([]byte, len(preface)))
		_ = f.WriteSettings()
		for {
			switch got, err := f.ReadFrame(); got := got.(type) {
			case *oracle.HeadersFrame:
				request(f, got.StreamID)
			default:
				if err != nil {
					return
				}
			}
		}
	}
}

// RFC 9113 section 6.8: "Receivers of a GOAWAY frame MUST NOT open additional streams
// on the connection". A request that had its place before is made elsewhere.
func TestNoStreamBehindGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, answering(&framer, func(_ *oracle.Framer, id uint32) { t.Errorf("stream %d was opened", id) }))
		if !c.Reserve() {
			t.Fatal("no place")
		}
		synctest.Wait()
		_ = framer.WriteGoAway(0, oracle.ErrCodeNo, nil)
		synctest.Wait()
		e := c.Exchange()
		defer e.Finish()
		if _, err := e.RoundTrip(&stream.Request{Method: "GET", Authority: "a", Path: "/", Info: &stream.Info{}}, time.Now().Add(time.Second)); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v; want the end of the connection", err)
		}
	})
}

// Places do not outlast the streams that there can be (section 5.1.1).
func TestStreamsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, answering(&framer, func(f *oracle.Framer, id uint32) {
			_ = f.WriteRawFrame(oracle.FrameHeaders, oracle.FlagHeadersEndHeaders|oracle.FlagHeadersEndStream, id, []byte{0x88})
		}))
		c.nextID = maxID
		for range 2 {
			if !c.Reserve() {
				t.Fatal("no place")
			}
		}
		for i, want := range []error{nil, ErrEnded} {
			e := c.Exchange()
			if _, err := e.RoundTrip(&stream.Request{Method: "GET", Authority: "a", Path: "/", Info: &stream.Info{}}, time.Time{}); !errors.Is(err, want) {
				t.Errorf("request %d: got %v; want %v", i, err, want)
			}
			e.Finish()
		}
	})
}

// RFC 9110 section 8.6: a HEAD's response tells the length that content would have.
// Servers may end such a response with an empty DATA frame.
func TestHeadTellsALength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, answering(&framer, func(f *oracle.Framer, id uint32) {
			_ = f.WriteRawFrame(oracle.FrameHeaders, oracle.FlagHeadersEndHeaders, id, []byte{0x88, 0x0f, 0x0d, 1, '5'}) // content-length: 5
			_ = f.WriteData(id, true, nil)
		}))
		for range 2 * maxResets {
			resp, body, err := send(t, c, &stream.Request{Method: "HEAD", Authority: "a", Path: "/"}, time.Time{})
			if err != nil || resp.Length != 5 || body != "" {
				t.Fatalf("got %+v, %q, %v", resp, body, err)
			}
		}
	})
}

// A server that breaks a rule now and then costs the request that meets it, not the
// connection of all others.
func TestRareViolationsAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var framer *oracle.Framer
		c := connected(t, Config{}, answering(&framer, func(f *oracle.Framer, id uint32) {
			status := []byte{0x88}
			if id%4 == 1 {
				status = []byte{0x88, 0x88}
			}
			_ = f.WriteRawFrame(oracle.FrameHeaders, oracle.FlagHeadersEndHeaders|oracle.FlagHeadersEndStream, id, status)
		}))
		for i := range 4 * maxResets {
			_, _, err := send(t, c, &stream.Request{Method: "GET", Authority: "a", Path: "/"}, time.Time{})
			if malformed := i%2 == 0; stream.IsSyntax(err) != malformed || !c.Usable() {
				t.Fatalf("request %d: got %v; the connection is usable: %v", i, err, c.Usable())
			}
		}
	})
}
