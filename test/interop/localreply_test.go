package interop

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is answered to what is no request is rewritten like all other replies of the
// proxy's own.
func TestRepliesToNoRequestAreRewrittenAsEnvoy(t *testing.T) {
	agree(t, func(name string, run runner) []string {
		p := start(t, name, run, func(p *peer) string {
			return static(web{name: "web", address: p.address, manager: `
local_reply_config:
  mappers: [{filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 426, runtime_key: none}}}}, status_code: 505, body: {inline_string: upgrade}}, {filter: {response_flag_filter: {flags: [DPE]}}, body: {inline_string: broken}}, {filter: {status_code_filter: {comparison: {op: LE, value: {default_value: 431, runtime_key: none}}}}, body: {inline_string: refused}}]
  body_format: {text_format_source: {inline_string: "[%LOCAL_REPLY_BODY% %RESPONSE_CODE% %REQ(:path)%]"}}`, routes: `- {match: {prefix: /}, direct_response: {status: 200}}`}.String(), "")
		})
		var out []string
		for _, text := range []string{"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nx: " + strings.Repeat("x", 70<<10) + "\r\n\r\n"} {
			conn := p.dial(t)
			defer conn.Close()
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			out = append(out, resp.Status+" "+resp.Header.Get("Content-Type")+" "+string(body))
		}
		return out
	})
}
