package compress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/lateenmesh/lateen/proxy/runtime"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// upstream answers, and keeps what it was sent.
type upstream struct {
	fields [][2]string
	body   string
	length int64

	sent []byte
	req  *stream.Request
}

func (u *upstream) Handle(req *stream.Request) (*stream.Response, error) {
	u.req = req
	if req.Body != nil {
		var err error
		if u.sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	resp := &stream.Response{Status: 200, Body: stream.NewBytes([]byte(u.body)), Length: u.length}
	for _, f := range u.fields {
		resp.Header.Add(f[0], f[1])
	}
	return resp, nil
}

func decode(t *testing.T, coding string, p []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(p)
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(out)
}

func codings(t *testing.T) []*Coding {
	t.Helper()
	z, err := Zstd(0, true)
	if err != nil {
		t.Fatal(err)
	}
	return []*Coding{Gzip(-1), Brotli(3, 18), z}
}

// chain is a filter for each coding, the second one to be chosen first.
func chain(t *testing.T, change func(*Filter)) []stream.Filter {
	g := &Group{}
	var out []stream.Filter
	for i, c := range codings(t) {
		f := &Filter{Coding: c, Group: g, First: i == 1, Replies: runtime.Flag{On: true}, Response: Suitable{Min: 30, Types: DefaultTypes}}
		if change != nil {
			change(f)
		}
		g.filters = append(g.filters, f)
		out = append(out, f)
	}
	return out
}

var html = [2]string{"content-type", "text/html; charset=utf-8"}

func TestReplies(t *testing.T) {
	long := strings.Repeat("hello ", 100)
	for name, tc := range map[string]struct {
		accept string
		up     upstream
		coding string
		etag   string
	}{
		"plain":             {"gzip", upstream{fields: [][2]string{html}, body: long, length: 600}, "gzip", ""},
		"brotli":            {"br", upstream{fields: [][2]string{html}, body: long, length: 600}, "br", ""},
		"zstd":              {"zstd", upstream{fields: [][2]string{html}, body: long, length: 600}, "zstd", ""},
		"the better one":    {"gzip;q=0.9, br;q=0.8, zstd;q=0.7", upstream{fields: [][2]string{html}, body: long, length: 600}, "gzip", ""},
		"the preferred one": {"zstd, gzip, br", upstream{fields: [][2]string{html}, body: long, length: 600}, "br", ""},
		"the first one":     {"zstd, gzip", upstream{fields: [][2]string{html}, body: long, length: 600}, "zstd", ""},
		"unknown length":    {"gzip", upstream{fields: [][2]string{html}, body: "short", length: stream.Unknown}, "gzip", ""},
		"short":             {"gzip", upstream{fields: [][2]string{html}, body: "short", length: 5}, "", ""},
		"not asked for":     {"", upstream{fields: [][2]string{html}, body: long, length: 600}, "", ""},
		"all but one":       {"gzip;q=0, *", upstream{fields: [][2]string{html}, body: long, length: 600}, "br", ""},
		"any":               {"*;q=0.5", upstream{fields: [][2]string{html}, body: long, length: 600}, "gzip", ""},
		"none":              {"*;q=0", upstream{fields: [][2]string{html}, body: long, length: 600}, "", ""},
		"less wanted":       {"gzip;q=0.2, identity", upstream{fields: [][2]string{html}, body: long, length: 600}, "", ""},
		"no number":         {"gzip;q=x", upstream{fields: [][2]string{html}, body: long, length: 600}, "", ""},
		"a picture":         {"gzip", upstream{fields: [][2]string{{"content-type", "image/png"}}, body: long, length: 600}, "", ""},
		"compressed once":   {"gzip", upstream{fields: [][2]string{html, {"content-encoding", "x"}}, body: long, length: 600}, "x", ""},
		"not to be":         {"gzip", upstream{fields: [][2]string{html, {"cache-control", "no-transform"}}, body: long, length: 600}, "", ""},
		"not to be, too":    {"gzip", upstream{fields: [][2]string{html, {"cache-control", "public"}, {"cache-control", "no-transform"}}, body: long, length: 600}, "", ""},
		"strong tag":        {"gzip", upstream{fields: [][2]string{html, {"etag", `"a"`}}, body: long, length: 600}, "gzip", ""},
		"weak tag":          {"gzip", upstream{fields: [][2]string{html, {"etag", `W/"a"`}}, body: long, length: 600}, "gzip", `W/"a"`},
	} {
		req := &stream.Request{Method: "GET", Info: &stream.Info{}}
		if tc.accept != "" {
			req.Header.Add("accept-encoding", tc.accept)
		}
		resp, err := stream.Chain(&tc.up, chain(t, nil)...).Handle(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if coding := resp.Header.Get("content-encoding"); coding != tc.coding {
			t.Errorf("%s: content-encoding %q", name, coding)
		} else if text := decode(t, coding, got); text != tc.up.body || resp.Header.Get("etag") != tc.etag {
			t.Errorf("%s: got %d bytes, etag %q", name, len(text), resp.Header.Get("etag"))
		}
	}
}

func TestTelling(t *testing.T) {
	long := strings.Repeat("hello ", 100)
	for name, tc := range map[string]struct {
		fields [][2]string
		length int64
		want   string
	}{
		"done":         {nil, 600, "gzip;Compressed;OriginalLength=600"},
		"no length":    {nil, stream.Unknown, "gzip;Compressed"},
		"short":        {nil, 5, "gzip;ContentLengthTooSmall"},
		"type":         {[][2]string{{"content-type", "image/png"}, {"etag", `"a"`}}, 600, "gzip;ContentTypeNotAllowed"},
		"tag":          {[][2]string{{"etag", `"a"`}}, 600, "gzip;EtagNotAllowed"},
		"no transform": {[][2]string{{"cache-control", "no-transform"}}, 5, ""},
	} {
		f := chain(t, func(f *Filter) { f.Tell, f.KeepETag = true, true })[0]
		req := &stream.Request{Method: "GET", Info: &stream.Info{}}
		req.Header.Add("accept-encoding", "gzip")
		resp, err := f.Handle(req, &upstream{fields: tc.fields, body: long[:max(0, min(600, tc.length&1023))], length: tc.length})
		if err != nil || resp.Header.Get("x-envoy-compression-status") != tc.want {
			t.Errorf("%s: told %q, %v; want %q", name, resp.Header.Get("x-envoy-compression-status"), err, tc.want)
		}
	}
}

// A request is compressed, and what one filter has compressed another one takes off.
func TestRequests(t *testing.T) {
	for _, c := range codings(t) {
		up := &upstream{}
		f := &Filter{Coding: c, Group: &Group{}, OnRequests: runtime.Flag{On: true}, Requests: &Suitable{Min: 10, Types: []string{"text/plain"}}}
		req := post(strings.Repeat("hello ", 10), "content-type: text/plain")
		if _, err := f.Handle(req, up); err != nil {
			t.Fatal(err)
		}
		if up.req.Header.Get("content-encoding") != c.Name || up.req.Length != stream.Unknown || decode(t, c.Name, up.sent) != strings.Repeat("hello ", 10) {
			t.Errorf("%s: sent %q, length %d", c.Name, up.sent, up.req.Length)
		}
		short := &upstream{}
		if _, err := f.Handle(post("hello", "content-type: text/plain"), short); err != nil || string(short.sent) != "hello" || short.req.Header.Has("content-encoding") {
			t.Errorf("%s: a short body: sent %q, %v", c.Name, short.sent, err)
		}
	}
}

func post(body string, fields ...string) *stream.Request {
	req := &stream.Request{Method: "POST", Body: stream.NewBytes([]byte(body)), Length: int64(len(body)), Info: &stream.Info{}}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// pieces is a body that arrives piece by piece; next is called when somebody waits.
type pieces struct {
	stream.Bytes
	rest     []string
	trailers stream.Header
}

func (p *pieces) Wait() error {
	if len(p.Buffered()) == 0 && len(p.rest) > 0 {
		p.Bytes = *stream.NewBytes([]byte(p.rest[0]))
		p.rest = p.rest[1:]
	}
	return nil
}
func (p *pieces) Read(b []byte) (int, error) { return stream.ReadBuffered(p, b) }
func (p *pieces) Complete() bool             { return len(p.rest) == 0 && p.Bytes.Complete() }
func (p *pieces) Trailers() *stream.Header   { return &p.trailers }

// Each piece can be read when it has come, through the compression and through
// its undoing, and the trailers come through.
func TestPiecesAreNotHeldBack(t *testing.T) {
	decodings := []*Decoding{Gunzip(0), Unbrotli(), Unzstd()}
	for i, c := range codings(t) {
		from := &pieces{rest: []string{"one", "two", "three"}}
		from.trailers.Add("x-sum", "6")
		d := &Decompressor{Decoding: decodings[i], Library: "lib"}
		b := d.content(newBody(from, c))
		for j, want := range []string{"one", "two", "three"} {
			if err := b.Wait(); err != nil || string(b.Buffered()) != want || len(from.rest) != 2-j {
				t.Fatalf("%s: got %q, %v, with %d pieces left; want %q", c.Name, b.Buffered(), err, len(from.rest), want)
			}
			b.Discard(len(want))
		}
		if err := b.Wait(); err != nil || !b.Complete() || b.Trailers().Get("x-sum") != "6" || b.Trailers().Get("x-envoy-decompressor-lib-uncompressed-bytes") != "11" {
			t.Errorf("%s: at the end %v, complete %v, trailers %v", c.Name, err, b.Complete(), b.Trailers())
		}
	}
}

func encode(t testing.TB, c *Coding, text string) string {
	t.Helper()
	out, err := io.ReadAll(newBody(stream.NewBytes([]byte(text)), c))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDecompression(t *testing.T) {
	text := "hello hello"
	coded := encode(t, Gzip(-1), text)
	on := Direction{On: runtime.Flag{On: true}}
	for name, tc := range map[string]struct {
		way    Direction
		body   string
		fields []string
		left   string // content-encoding
		want   string // "" is a failure
	}{
		"plain":        {on, coded, []string{"content-encoding: gzip"}, "", text},
		"case":         {on, coded, []string{"content-encoding: GZip"}, "", text},
		"the last one": {on, coded, []string{"content-encoding: br, gzip"}, "br", text},
		"another one":  {on, coded, []string{"content-encoding: gzip, br"}, "gzip, br", coded},
		"not coded":    {on, text, nil, "", text},
		"left alone":   {on, coded, []string{"content-encoding: gzip", "cache-control: no-transform"}, "gzip", coded},
		"changed":      {Direction{On: runtime.Flag{On: true}, Transform: true}, coded, []string{"content-encoding: gzip", "cache-control: no-transform"}, "", text},
		"off":          {Direction{}, coded, []string{"content-encoding: gzip"}, "gzip", coded},
		"broken":       {on, text, []string{"content-encoding: gzip"}, "", ""},
		"cut":          {on, coded[:len(coded)-3], []string{"content-encoding: gzip"}, "", ""},
		"a bomb":       {on, encode(t, Gzip(-1), strings.Repeat("a", 1<<20)), []string{"content-encoding: gzip"}, "", ""},
	} {
		up := &upstream{}
		_, err := (&Decompressor{Decoding: Gunzip(0), Request: tc.way}).Handle(post(tc.body, tc.fields...), up)
		var broken *CodingError
		if tc.want == "" {
			if !errors.As(err, &broken) || !stream.IsSyntax(err) || len(up.sent) > 200*len(tc.body) {
				t.Errorf("%s: got %d bytes, %v; want a failure", name, len(up.sent), err)
			}
			continue
		}
		if err != nil || string(up.sent) != tc.want || up.req.Header.Get("content-encoding") != tc.left {
			t.Errorf("%s: sent %q as %q, %v", name, up.sent, up.req.Header.Get("content-encoding"), err)
		}
	}
}

// Content may turn out to be empty after its head has been read.
func TestEmptyContent(t *testing.T) {
	for _, c := range []*Decoding{Gunzip(0), Unbrotli(), Unzstd()} {
		p := &pieces{rest: []string{""}}
		content := (&Decompressor{Decoding: c}).content(p)
		if got, err := io.ReadAll(content); err != nil || len(got) > 0 {
			t.Errorf("%s: got %q, %v", c.Name, got, err)
		}
	}
}

// A failing connection is not taken for broken content.
func TestSendersFailure(t *testing.T) {
	gone := errors.New("gone")
	c := (&Decompressor{Decoding: Gunzip(0)}).content(failing{gone})
	if err := c.Wait(); !errors.Is(err, gone) || stream.IsSyntax(err) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
func (f failing) Wait() error              { return f.err }
func (failing) Buffered() []byte           { return nil }
func (failing) Discard(int)                {}
func (failing) Complete() bool             { return false }
func (failing) Trailers() *stream.Header   { return nil }

func TestAdvertising(t *testing.T) {
	for have, want := range map[string]string{"": "gzip", "br": "br,gzip"} {
		req := post("")
		if have != "" {
			req.Header.Add("accept-encoding", have)
		}
		up := &upstream{}
		if _, err := (&Decompressor{Decoding: Gunzip(0), Response: Direction{On: runtime.Flag{On: true}}, Advertise: true}).Handle(req, up); err != nil || up.req.Header.Get("accept-encoding") != want {
			t.Errorf("%q became %q, %v", have, up.req.Header.Get("accept-encoding"), err)
		}
	}
}

// Whatever comes, no more is given than the ratio allows, and it ends.
func FuzzDecompression(f *testing.F) {
	z, err := Zstd(0, false)
	if err != nil {
		f.Fatal(err)
	}
	for i, c := range []*Coding{Gzip(-1), Brotli(3, 18), z} {
		f.Add(byte(i), []byte(encode(f, c, "hello hello")))
		f.Add(byte(i), []byte(encode(f, c, strings.Repeat("a", 1<<16))))
	}
	f.Fuzz(func(t *testing.T, which byte, p []byte) {
		d := []*Decoding{Gunzip(0), Unbrotli(), Unzstd()}[which%3]
		c := (&Decompressor{Decoding: d}).content(stream.NewBytes(p))
		out, err := io.ReadAll(c)
		if int64(len(out)) > Ratio*int64(len(p))+decodedAtOnce {
			t.Errorf("%d bytes of %d, %v", len(out), len(p), err)
		}
	})
}

// What a client may write of its preferences gives one of the codings or none.
func FuzzChoice(f *testing.F) {
	f.Add("gzip;q=0.5, br, *;q=0")
	f.Fuzz(func(t *testing.T, accepted string) {
		g := &Group{}
		for _, name := range []string{"zstd", "br", "gzip"} {
			g.Add(&Filter{Coding: &Coding{Name: name}, Response: Suitable{Types: DefaultTypes}})
		}
		switch choice := g.choose(accepted, "text/html"); choice {
		case "", "gzip", "br", "zstd", "identity":
		default:
			t.Errorf("chose %q", choice)
		}
	})
}
