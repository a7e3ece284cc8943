package interop

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"
)

// newValued is the address of a server that answers HTTP behind a PROXY header with the values of the header.
func newValued(t *testing.T) string {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		h, err := proxyproto.Read(r)
		if err != nil {
			return
		}
		values, err := h.TLVs()
		if _, readErr := http.ReadRequest(r); readErr == nil {
			text := fmt.Sprintf("%s to %s: %q, %v", withoutPort(h.SourceAddr), withoutPort(h.DestinationAddr), values, err)
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
		}
	})
}

// valued serves what comes behind PROXY headers, as requests or as a byte stream.
func valued(p *peer, next, location string, requests bool) string {
	const rules = `{action: DENY, policies: {
  m: {permissions: [{any: true}], principals: [{metadata: {filter: aws, path: [{key: vpc}], value: {string_match: {exact: bad}}}}]},
  s: {permissions: [{sourced_metadata: {metadata_matcher: {filter: aws, path: [{key: vpc}], value: {string_match: {exact: worse}}}}}], principals: [{any: true}]},
  f: {permissions: [{any: true}], principals: [{filter_state: {key: envoy.network.proxy_protocol.tlv, string_match: {contains: worst}}}]}}}`
	access := accessLog(p.log.file, text("%DOWNSTREAM_DIRECT_REMOTE_PORT% %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:host)% %DYNAMIC_METADATA(aws)% %FILTER_STATE(envoy.network.proxy_protocol.tlv:FIELD:host)% %FILTER_STATE(envoy.network.proxy_protocol.tlv:FIELD:vpc)% %FILTER_STATE(envoy.network.proxy_protocol.tlv:FIELD:raw)%"))
	header := fmt.Sprintf(`
listener_filters:
- name: envoy.filters.listener.proxy_protocol
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
    allow_requests_without_proxy_protocol: true
    tlv_location: %s
    rules:
    - {tlv_type: 0x02, on_tlv_present: {key: host}}
    - {tlv_type: 0xEA, on_tlv_present: {key: first, metadata_namespace: aws}}
    - {tlv_type: 0xEA, on_tlv_present: {key: vpc, metadata_namespace: aws}}
    - {tlv_type: 0xEB, on_tlv_present: {key: raw, metadata_namespace: aws, value_string_encoding: BASE64}}
    pass_through_tlvs: {match_type: INCLUDE, tlv_type: [0x02, 0xEA, 0xF1, 0xF2]}`, location)
	up := upstream("up", next, `
transport_socket:
  name: pp
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
    config: {version: V2, pass_through_tlvs: {}, added_tlvs: [{type: 0xF1, value: c29ja2V0}, {type: 0xF3, value: c29ja2V0}, {type: 0xF3, value: YWdhaW4=}]}
    transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}`)
	up = strings.Replace(up, "{endpoint: ", `{metadata: {typed_filter_metadata: {envoy.transport_sockets.proxy_protocol: {"@type": type.googleapis.com/envoy.config.core.v3.PerHostConfig, added_tlvs: [{type: 0xF3, value: aG9zdA==}, {type: 0xF2, value: aG9zdA==}]}}}, endpoint: `, 1)
	if requests {
		return static(web{
			name: "web", address: p.address, listener: header, manager: access, routes: "\n- {match: {prefix: /}, route: {cluster: up}}",
			filters: `- {name: rbac, typed_config: {"@type": ` + httpFilters + `rbac.v3.RBAC, rules: ` + strings.ReplaceAll(rules, "\n", " ") + `}}`,
		}.String(), up)
	}
	return static(`
  - name: in
    address: `+socketAddress(p.address)+`
`+indent(header, "    ")+`
    filter_chains:
    - filters:
      - {name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: r, rules: `+strings.ReplaceAll(rules, "\n", " ")+`}}
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: up
`+indent(access, "          "), up)
}

func headerValue(kind byte, text string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(text)))) + text
}

// The values of PROXY headers of version 2 are noted, judged, logged and passed on as
// with Envoy. What upstreams are told is said to each connection anew.
func TestValuesOfPROXYHeadersAsEnvoy(t *testing.T) {
	next := newValued(t)
	all := headerValue(2, "shop.example") + headerValue(0xEA, "one") + headerValue(0xEA, "two") + headerValue(0xEB, "\xff\x00") + headerValue(0xEC, "left") + headerValue(0xF1, "mine") + headerValue(0xF2, "mine")
	for _, location := range []string{"DYNAMIC_METADATA", "FILTER_STATE"} {
		for _, requests := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, requests %v", location, requests), func(t *testing.T) {
				theirs, ours := both(t, func(p *peer) string { return valued(p, next, location, requests) })
				for name, tail := range map[string]string{
					"all": all, "none": "", "not text": headerValue(0xEA, "a\xff\xfe<b>\xe2\x82cé\xed\xa0\x80"), "empty": headerValue(0xEA, ""), "bad": headerValue(0xEA, "bad"), "worse": headerValue(0xEA, "worse"), "worst": headerValue(0xEA, "worst"),
					"too long": "\xea\x00\x05abc", "cut off": headerValue(0xEA, "abc") + "\xeb\x00",
				} {
					for _, command := range []string{"\x21", "\x20"} {
						say := "\r\n\r\n\x00\r\nQUIT\n" + command + "\x11" + string(binary.BigEndian.AppendUint16(nil, uint16(12+len(tail)))) + "\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb" + tail
						if diff := cmp.Diff(saysAndHears(t, ours, say), saysAndHears(t, theirs, say)); diff != "" {
							t.Errorf("%s, command %q (-ours +Envoy):\n%s", name, command, diff)
						}
					}
				}
			})
		}
	}
}

// saysAndHears says something before a request and gives the status, the content and
// the log's line.
func saysAndHears(t *testing.T, p *peer, say string) []string {
	t.Helper()
	conn := p.dial(t)
	defer conn.Close()
	io.WriteString(conn, say+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		conn.Close()
		return []string{"closed"}
	}
	content, _ := io.ReadAll(resp.Body)
	conn.Close()
	return []string{resp.Status, string(content), p.log.of(t, conn)}
}
