package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/lateenmesh/lateen/proxy/stream"
)

type upstream struct {
	fields [][2]string
	body   string
	length int64
}

func (u upstream) Handle(*stream.Request) (*stream.Response, error) {
	resp := &stream.Response{Status: 200, Body: stream.NewBytes([]byte(u.body)), Length: u.length}
	for _, f := range u.fields {
		resp.Header.Add(f[0], f[1])
	}
	return resp, nil
}

func TestReplies(t *testing.T) {
	long := strings.Repeat("hello ", 100)
	html := [2]string{"content-type", "text/html; charset=utf-8"}
	for name, tc := range map[string]struct {
		accept     string
		up         upstream
		compressed bool
		etag       string
	}{
		"plain":           {"gzip", upstream{[][2]string{html}, long, 600}, true, ""},
		"unknown length":  {"gzip, br", upstream{[][2]string{html}, "short", stream.Unknown}, true, ""},
		"short":           {"gzip", upstream{[][2]string{html}, "short", 5}, false, ""},
		"not asked for":   {"", upstream{[][2]string{html}, long, 600}, false, ""},
		"refused":         {"gzip;q=0, *", upstream{[][2]string{html}, long, 600}, false, ""},
		"any":             {"*;q=0.5", upstream{[][2]string{html}, long, 600}, true, ""},
		"less wanted":     {"gzip;q=0.2, identity", upstream{[][2]string{html}, long, 600}, false, ""},
		"a picture":       {"gzip", upstream{[][2]string{{"content-type", "image/png"}}, long, 600}, false, ""},
		"compressed once": {"gzip", upstream{[][2]string{html, {"content-encoding", "br"}}, long, 600}, false, ""},
		"not to be":       {"gzip", upstream{[][2]string{html, {"cache-control", "no-transform"}}, long, 600}, false, ""},
		"tagged":          {"gzip", upstream{[][2]string{html, {"etag", `"a"`}}, long, 600}, true, `W/"a"`},
	} {
		f := &Filter{Min: 30, Types: DefaultTypes, Writers: NewWriters(-1)}
		req := &stream.Request{Method: "GET", Info: &stream.Info{}}
		if tc.accept != "" {
			req.Header.Add("accept-encoding", tc.accept)
		}
		resp, err := f.Handle(req, tc.up)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(struct{ io.Reader }{resp.Body})
		if err != nil {
			t.Fatal(err)
		}
		if compressed := resp.Header.Get("content-encoding") == "gzip"; compressed != tc.compressed {
			t.Errorf("%s: compressed %v", name, compressed)
		} else if compressed {
			r, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != tc.up.body || resp.Header.Get("etag") != tc.etag {
			t.Errorf("%s: got %d bytes, etag %q", name, len(got), resp.Header.Get("etag"))
		}
	}
}
