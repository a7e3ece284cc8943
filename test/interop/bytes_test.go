package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// byteOperators are of the bytes on both sides.
var byteOperators = []string{
	"DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_RECEIVED", "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "DOWNSTREAM_WIRE_BYTES_SENT", "DOWNSTREAM_HEADER_BYTES_SENT",
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_HEADER_BYTES_SENT", "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "UPSTREAM_WIRE_BYTES_RECEIVED",
	"UPSTREAM_HEADER_BYTES_RECEIVED", "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "REQUEST_HEADERS_BYTES", "RESPONSE_HEADERS_BYTES", "RESPONSE_TRAILERS_BYTES", "BYTES_RETRANSMITTED",
	"PACKETS_RETRANSMITTED", "BYTES_RECEIVED", "BYTES_SENT", "CEL(request.total_size)", "CEL(response.total_size)",
}

// The bytes that the access log tells of are those that Envoy tells of, for HTTP/1.1
// and HTTP/2 on both sides. What depends on how headers are compressed is not compared:
// our compression is our own, and so is the table that we offer to the client's.
func TestBytesAsEnvoy(t *testing.T) {
	one, two := plainUpstream(t, false), plainUpstream(t, true)
	agree(t, func(name string, run runner) []string {
		p := start(t, name, run, func(p *peer) string {
			return static(web{
				name: "web", address: p.address,
				manager: accessLog(p.log.file, tabbed(byteOperators)),
				hosts: `
- {name: h1, domains: [h1], response_headers_to_remove: [x-envoy-upstream-service-time], routes: [{match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: "a body"}}}, {match: {prefix: /503}, route: {cluster: h1, retry_policy: {retry_on: 5xx, num_retries: 2}}}, {match: {prefix: /none}, route: {cluster: none}}, {match: {prefix: /}, route: {cluster: h1}}]}
- {name: h2, domains: [h2], response_headers_to_remove: [x-envoy-upstream-service-time], routes: [{match: {prefix: /503}, route: {cluster: h2, retry_policy: {retry_on: 5xx, num_retries: 2}}}, {match: {prefix: /}, route: {cluster: h2}}]}`,
			}.String(), upstream("h1", one)+upstream("h2", two, speakHTTP2)+upstream("none", "1"))
		})
		var out []string
		for _, host := range []string{"h1", "h2"} {
			for _, each := range []string{
				"GET / HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /unannounced?x HTTP/1.1\r\nhost:%s\r\nX-Own:   1\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
				"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 7\r\n\r\ncontent", "POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n0\r\n\r\n",
				"GET /204 HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /503 HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /direct HTTP/1.1\r\nHost: %s\r\n\r\n", "GET /none HTTP/1.1\r\nHost: %s\r\n\r\n",
			} {
				if host == "h2" && strings.Contains(each, "unannounced") {
					continue // we announce a length when all has come, Envoy does not
				}
				conn, err := net.Dial("tcp", p.address)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, each, host)
				method, _, _ := strings.Cut(each, " ")
				if resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}); err != nil {
					t.Fatalf("%s: %v", each, err)
				} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatalf("%s: %v", each, err)
				}
				conn.Close()
				out = append(out, valuesOf("HTTP/1.1 to "+host+" "+each, p.log.next(t), byteOperators, host == "h2", "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_HEADER_BYTES_SENT")...)
			}
			for _, path := range []string{"/", "/204"} {
				for _, body := range []string{"", "content"} {
					transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
					transport.Protocols.SetUnencryptedHTTP2(true)
					method := "GET"
					if body != "" {
						method = "PUT"
					}
					req, err := http.NewRequest(method, "http://"+p.address+path, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Host = host
					resp, err := transport.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					transport.CloseIdleConnections()
					ours := []string{"DOWNSTREAM_WIRE_BYTES_SENT", "DOWNSTREAM_HEADER_BYTES_SENT", "DOWNSTREAM_WIRE_BYTES_RECEIVED", "DOWNSTREAM_HEADER_BYTES_RECEIVED"}
					if host == "h2" {
						ours = append(ours, "UPSTREAM_WIRE_BYTES_SENT", "UPSTREAM_HEADER_BYTES_SENT")
					}
					out = append(out, valuesOf("HTTP/2 to "+host+" "+path+" "+body, p.log.next(t), byteOperators, true, ours...)...)
				}
			}
		}
		return out
	})
}

// valuesOf names the values of a line, but for those of some operators if some differ.
func valuesOf(story, line string, operators []string, some bool, differ ...string) (out []string) {
	for i, each := range strings.Split(line, "\t") {
		if !some || !slices.Contains(differ, operators[i]) {
			out = append(out, fmt.Sprintf("%q %s: %s", story, operators[i], each))
		}
	}
	return out
}

// plainUpstream answers with few fields, in HTTP/1.1 or HTTP/2.
func plainUpstream(t *testing.T, two bool) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/503":
			w.WriteHeader(503)
			if !two { // there it may come behind the head, or not at all when a try is given up
				_, _ = io.WriteString(w, "never")
			}
		case "/unannounced":
			_ = http.NewResponseController(w).Flush()
			fallthrough
		default:
			_, _ = io.WriteString(w, "hello")
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(!two)
	s.Config.Protocols.SetUnencryptedHTTP2(two)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}
