package http1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// All bytes of a message are counted, and those of its fields apart: without the first
// line and without what ends them, and without the space that may stand before a value
// that has come.
func TestBytesAreCounted(t *testing.T) {
	_, seen := exchange(t, Config{}, echo, crlf("GET / HTTP/1.1\nHost: a\nX:   1\n\n")+crlf("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\nhello\n0\nt: 1\n\n"))
	got := []stream.Meter{}
	for _, i := range seen.infos {
		got = append(got, i.DownstreamBytes)
	}
	const fields = int64(len("content-length: 10\r\n")) // of the reply, whose text is GET a / ""
	const around = int64(len("HTTP/1.1 200 OK\r\n\r\n"))
	want := []stream.Meter{
		{Sent: around + fields + 10, Received: 16 + 9 + 8 + 2, HeadSent: fields, HeadReceived: 8 + 5, PlainSent: fields, PlainReceived: 8 + 5},
		{Sent: around + fields + 16, Received: 17 + 9 + 28 + 2 + 3 + 7 + 3 + 6 + 2, HeadSent: fields, HeadReceived: 8 + 27, PlainSent: fields, PlainReceived: 8 + 27},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if got, want := seen.infos[0].ReplyHead, int64(len(":status200content-length10")); got != want {
		t.Errorf("the reply's head has %d bytes of names and values; want %d", got, want)
	}

	near, far := memnet.Pipe(clientAddress, serverAddress)
	defer near.Close()
	defer far.Close()
	c, info := NewClient(near, Limits{}), &stream.Info{}
	for range 2 { // the second one may be a retry
		if _, err := far.Write([]byte(crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n"))); err != nil {
			t.Fatal(err)
		}
		req := &stream.Request{Method: "POST", Path: "/", Authority: "a", Info: info, Body: stream.NewBytes([]byte("hi")), Length: 2}
		resp, err := c.RoundTrip(req, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		c.Settle(req)
		c.Finish()
	}
	once := stream.Meter{Sent: 17 + 9 + 19 + 2 + 2, Received: 17 + 28 + 2 + 3 + 7 + 3 + 2, HeadSent: 9 + 19, HeadReceived: 27, PlainSent: 9 + 19, PlainReceived: 27}
	twice := once
	twice.Add(&once)
	twice.PlainReceived += once.PlainReceived // as Envoy adds up those of retries
	if diff := cmp.Diff(info.UpstreamBytes, twice); diff != "" {
		t.Errorf("upstream (-got +want):\n%s", diff)
	}
}
