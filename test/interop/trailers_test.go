package interop

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// What filters do with trailers is seen over HTTP/2 only: Envoy drops those of
// HTTP/1.
func TestTrailersSameAsEnvoy(t *testing.T) {
	up := trailing(t, nil)
	theirs, ours := both(t, func(p *peer) string { return trailersBootstrap(p.address, up) })
	for _, path := range []string{"/plain", "/plain/none", "/changed", "/changed/none", "/unzipped", "/unzipped/none", "/zipped", "/zipped/none"} {
		for _, sent := range []http.Header{nil, {"X-Gone": {"1"}, "X-Kept": {"2"}}} {
			if diff := cmp.Diff(exchange(t, ours.address, path, sent), exchange(t, theirs.address, path, sent)); diff != "" {
				t.Errorf("%s with trailers %v (-ours +Envoy):\n%s", path, sent, diff)
			}
		}
	}
}

func trailersBootstrap(address, up string) string {
	return static(web{
		name: "web", address: address,
		filters: fmt.Sprintf(`
- {name: zip, disabled: true, typed_config: {"@type": %[1]scompressor.v3.Compressor, request_direction_config: {common_config: {content_type: [text/plain]}}, compressor_library: {name: lib, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip}}}}
- {name: zip.br, disabled: true, typed_config: {"@type": %[1]scompressor.v3.Compressor, compressor_library: {name: lib, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.brotli.compressor.v3.Brotli}}}}
- {name: zip.zstd, disabled: true, typed_config: {"@type": %[1]scompressor.v3.Compressor, compressor_library: {name: lib, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.zstd.compressor.v3.Zstd}}}}
- {name: unzip, disabled: true, typed_config: {"@type": %[1]sdecompressor.v3.Decompressor, decompressor_library: {name: lib, typed_config: {"@type": type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip}}}}
- name: change
  disabled: true
  typed_config:
    "@type": %[1]sheader_mutation.v3.HeaderMutation
    mutations:
      request_trailers_mutations: [{append: {header: {key: x-kept, value: "%%REQ(:path)%%"}}}, {remove: x-gone}]
      response_trailers_mutations: [{append: {header: {key: x-status, value: "%%RESPONSE_CODE%%"}}}, {remove: x-first}]`, httpFilters),
		routes: on("/changed", awake("change")) + on("/unzipped", awake("unzip")) + on("/zipped", awakeAll("zip", "zip.br", "zip.zstd")) + on("/", ""),
	}.String(), upstream("v1", up, speakHTTP2))
}

// A part of a reply that has come can be read before the next one is sent, however
// it is compressed.
func TestCompressedStreamsAreNotHeldBack(t *testing.T) {
	read := make(chan struct{})
	up, ours := trailing(t, read), freeAddress(t)
	runOurs(t, trailersBootstrap(ours, up))
	waitFor(t, ours)
	for _, coding := range []string{"gzip", "br", "zstd"} {
		for _, two := range []bool{false, true} {
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!two)
			protocols.SetUnencryptedHTTP2(two)
			transport := &http.Transport{Protocols: protocols, DisableCompression: true}
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+ours+"/zipped/wait", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", coding)
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			var content io.Reader
			switch resp.Header.Get("Content-Encoding") {
			case "gzip":
				content, err = gzip.NewReader(resp.Body)
			case "br":
				content = brotli.NewReader(resp.Body)
			case "zstd":
				content, err = zstd.NewReader(resp.Body, zstd.WithDecoderConcurrency(1))
			default:
				t.Fatalf("%s: the reply is not compressed", coding)
			}
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, len(`coding "", `))
			if _, err := io.ReadFull(content, first); err != nil {
				t.Fatal(err)
			}
			read <- struct{}{}
			rest, err := io.ReadAll(content)
			if all := string(first) + string(rest); err != nil || all != `coding "", trailers map[]` {
				t.Errorf("%s, HTTP/2 %v: got %q, %v", coding, two, all, err)
			}
			resp.Body.Close()
			transport.CloseIdleConnections()
		}
	}
}

// trailing serves HTTP/2 with trailers, in parts: it tells what it was sent. On
// /wait the second part is sent when the first one has been read.
func trailing(t *testing.T, read <-chan struct{}) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		none := strings.HasSuffix(r.URL.Path, "/none")
		h := w.Header()
		h.Set("Content-Type", "text/plain")
		out := io.Writer(w)
		if strings.HasPrefix(r.URL.Path, "/unzipped") {
			h.Set("Content-Encoding", "gzip")
			zip := zipped(fmt.Sprintf("%d bytes, trailers %v", len(body), r.Trailer))
			fmt.Fprint(out, zip[:20])
			w.(http.Flusher).Flush()
			fmt.Fprint(out, zip[20:])
		} else {
			fmt.Fprintf(out, "coding %q, ", r.Header.Get("Content-Encoding"))
			w.(http.Flusher).Flush()
			if strings.HasSuffix(r.URL.Path, "/wait") {
				<-read
			}
			fmt.Fprintf(out, "trailers %v", r.Trailer)
		}
		if !none {
			h.Set(http.TrailerPrefix+"X-First", "1")
			h.Set(http.TrailerPrefix+"X-Second", "2")
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// exchange posts content, with trailers, and gives what came back.
func exchange(t *testing.T, address, path string, trailers http.Header) []string {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+path, io.NopCloser(strings.NewReader(strings.Repeat("hello ", 10))))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength, req.Trailer = -1, trailers
	req.Header.Set("Content-Type", "text/plain")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{resp.Status, string(body)}
	for i, h := range []http.Header{resp.Header, resp.Trailer} {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			if !ignoredDownstream[name] {
				out = append(out, fmt.Sprintf("%d %s: %v", i, name, h[name]))
			}
		}
	}
	return out
}
