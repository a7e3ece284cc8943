package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// entrance carries what comes to an address behind a CONNECT, or as more fields of it
// say.
func entrance(address, next, options, more string) string {
	return static(`
  - name: in
    address: `+socketAddress(address)+`
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: out
          tunneling_config: {hostname: "db.example:5432", headers_to_add: [{header: {key: x-from, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]`+more+`}`,
		upstream("out", next, options))
}

// exit ends a CONNECT, or a POST, with the right host and field.
func exit(address, next, codec string) string {
	return static(web{
		name: "out", address: address,
		manager: "codec_type: " + codec + "\nhttp2_protocol_options: {allow_connect: true}\nupgrade_configs: [{upgrade_type: CONNECT}]",
		hosts: `
- name: db
  domains: ["db.example:5432"]
  routes:
  - {match: {connect_matcher: {}, headers: [{name: x-from, string_match: {exact: 127.0.0.1}}]}, route: {cluster: db, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}
  - {match: {path: /bytes, headers: [{name: x-from, string_match: {exact: 127.0.0.1}}]}, route: {cluster: db, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]}}`,
	}.String(), upstream("db", next))
}

// Bytes go through tunnels of which either end is ours, over either version of
// HTTP, and of which the other one is Envoy's.
func TestTunnels(t *testing.T) {
	echo := serve(t, func(conn net.Conn) {
		io.Copy(conn, conn)
		io.WriteString(conn, "bye")
		conn.Close()
	})
	runners := map[string]runner{"ours": runOurs, "envoy": runEnvoy}
	for _, tc := range []struct{ in, out string }{{"ours", "ours"}, {"ours", "envoy"}, {"envoy", "ours"}} {
		for codec, options := range map[string]string{"HTTP1": "", "HTTP2": "http2_protocol_options: {}"} {
			for method, more := range map[string]string{"CONNECT": "", "POST": ", use_post: true, post_path: /bytes"} {
				t.Run(tc.in+" to "+tc.out+" over "+codec+" by "+method, func(t *testing.T) {
					in, out := freeAddress(t), freeAddress(t)
					runners[tc.out](t, exit(out, echo, codec))
					waitFor(t, out)
					runners[tc.in](t, entrance(in, out, options, more))
					waitFor(t, in)
					conn, err := net.Dial("tcp", in)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					conn.SetDeadline(time.Now().Add(10 * time.Second))
					for _, text := range []string{"hello", strings.Repeat("again", 100_000)} {
						got := make([]byte, len(text))
						go io.WriteString(conn, text)
						if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
							t.Fatalf("got %d bytes, %v", len(got), err)
						}
					}
					if codec == "HTTP1" && (tc.in == "envoy" || tc.out == "envoy" && method == "CONNECT") {
						return // Envoy ends an HTTP/1.1 tunnel when one direction has ended
					}
					conn.(*net.TCPConn).CloseWrite()
					if rest, err := io.ReadAll(conn); err != nil || string(rest) != "bye" {
						t.Errorf("at the end: %q, %v", rest, err)
					}
				})
			}
		}
	}
}

// newExit answers tunnels over HTTP/1.1 with a status, and sends through them what
// they were asked with.
func newExit(t *testing.T, status *atomic.Int64) string {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		var fields []string
		for name := range req.Header {
			fields = append(fields, name+": "+req.Header.Get(name))
		}
		slices.Sort(fields)
		text := fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Host, " ", fields, " ", req.TransferEncoding)
		fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nX-A: <one>\r\nx-a: two\r\n", status.Load())
		if req.Method == "POST" {
			fmt.Fprintf(conn, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(text), text)
			io.Copy(io.Discard, req.Body)
			io.WriteString(conn, "0\r\n\r\n")
		} else {
			io.WriteString(conn, "\r\n"+text)
			io.Copy(io.Discard, r)
		}
	})
}

var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// What a tunnel asks, and what its connection's log tells of the answer, is as with
// Envoy.
func TestTunnelsAskAndTellAsEnvoy(t *testing.T) {
	var status atomic.Int64
	next := newExit(t, &status)
	const id = `request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig}}`
	for _, more := range []string{
		"", ", propagate_response_headers: true, " + id, ", use_post: true, propagate_response_headers: true, request_id_header: x-mine, request_id_metadata_key: mine, " + id, `, use_post: true, post_path: "/p?x=1"`,
	} {
		theirs, ours := both(t, func(p *peer) string {
			return strings.Replace(entrance(p.address, next, "", more), "cluster: out", `cluster: out
          `+accessLog(p.log.file, text("%DOWNSTREAM_REMOTE_PORT% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %FILTER_STATE(envoy.tcp_proxy.propagate_response_headers)% %DYNAMIC_METADATA(envoy.filters.network.tcp_proxy)% %BYTES_SENT%")), 1)
		})
		for _, s := range []int64{200, 201, 404, 503} {
			status.Store(s)
			if diff := cmp.Diff(through(t, ours), through(t, theirs)); diff != "" {
				t.Errorf("%q answered with %d (-ours +Envoy):\n%s", more, s, diff)
			}
		}
	}
}

// through says something by a tunnel, and gives what came and the log's line.
func through(t *testing.T, p *peer) []string {
	t.Helper()
	conn := p.dial(t)
	defer conn.Close()
	io.WriteString(conn, "hello")
	first := make([]byte, 4096)
	n, _ := conn.Read(first)
	conn.(*net.TCPConn).CloseWrite()
	rest, _ := io.ReadAll(conn)
	line := strings.ReplaceAll(p.log.of(t, conn), `,{"key":"transfer-encoding","value":"chunked"}`, "") // which says nothing of the answer
	return []string{anID.ReplaceAllString(string(first[:n])+string(rest), "ID"), anID.ReplaceAllString(line, "ID")}
}

// An endpoint behind a tunnel is told of the tunnel's client as by Envoy.
func TestTunnelsIntroduceAsEnvoy(t *testing.T) {
	next := newProxied(t)
	for _, version := range []string{"V1", "V2"} {
		theirs, ours := both(t, func(p *peer) string {
			return static(web{
				name: "out", address: p.address, manager: "upgrade_configs: [{upgrade_type: CONNECT}]",
				routes: "\n- {match: {connect_matcher: {}}, route: {cluster: db, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {proxy_protocol_config: {version: " + version + "}}}]}}",
			}.String(), upstream("db", next))
		})
		told := func(p *peer) string {
			conn := p.dial(t)
			defer conn.Close()
			io.WriteString(conn, "CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n")
			r := bufio.NewReader(conn)
			if _, err := http.ReadResponse(r, nil); err != nil { // whose content is the tunnel's
				t.Fatal(err)
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			return string(text)
		}
		if got, want := told(ours), told(theirs); got != want {
			t.Errorf("%s: got %q; Envoy %q", version, got, want)
		}
	}
}
