package http1

import (
	"fmt"
	"strings"
	"testing"
)

// What two parsers could read in two ways is refused, and the connection ends:
// nothing behind it can be trusted to begin where it seems to.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	const next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	post := func(fields, body string) string { return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body }
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"CL and TE":                     {post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
		"TE and CL":                     {post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
		"two equal CL":                  {post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400},
		"two different CL":              {post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400},
		"CL list":                       {post("Content-Length: 5, 5\r\n", "hello"), 400},
		"CL with plus":                  {post("Content-Length: +5\r\n", "hello"), 400},
		"CL negative":                   {post("Content-Length: -5\r\n", "hello"), 400},
		"CL hex":                        {post("Content-Length: 0x5\r\n", "hello"), 400},
		"CL empty":                      {post("Content-Length: \r\n", "hello"), 400},
		"CL with inner space":           {post("Content-Length: 5 5\r\n", "hello"), 400},
		"CL overflowing":                {post("Content-Length: 18446744073709551621\r\n", "hello"), 400},
		"TE identity":                   {post("Transfer-Encoding: identity\r\n", "hello"), 501},
		"TE gzip, chunked":              {post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
		"TE chunked, identity":          {post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501},
		"TE chunked twice in a list":    {post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501},
		"TE chunked twice":              {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
		"TE with parameter":             {post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), 501},
		"TE xchunked":                   {post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
		"TE with vertical tab":          {post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), 400},
		"TE quoted":                     {post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501},
		"space before colon":            {post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400},
		"tab before colon":              {post("Content-Length\t: 5\r\n", "hello"), 400},
		"obs-fold":                      {post("X: 1\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
		"obs-fold by tab":               {post("X: 1\r\n\tmore\r\n", ""), 400},
		"folded first field":            {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		"bare LF ends a field":          {"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400},
		"bare LF ends the request line": {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		"bare CR in a value":            {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n", 400},
		"NUL in a value":                {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n", 400},
		"NUL in a name":                 {"GET / HTTP/1.1\r\nHost: a\r\nX\x00: 1\r\n\r\n", 400},
		"DEL in a value":                {"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
		"name without colon":            {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
		"no name":                       {"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400},
		"name with parenthesis":         {"GET / HTTP/1.1\r\nHost: a\r\nX(1): 1\r\n\r\n", 400},
		"non-ASCII name":                {"GET / HTTP/1.1\r\nHost: a\r\nTransfer\u2010Encoding: chunked\r\n\r\n", 400},
		"no Host":                       {"GET / HTTP/1.1\r\n\r\n", 400},
		"two Hosts":                     {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"two equal Hosts":               {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		"Host with path":                {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		"Host with user":                {"GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", 400},
		"Host list":                     {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
		"Host with space":               {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		"absolute target with user":     {"GET http://x@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"absolute target with list":     {"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"absolute target with fragment": {"GET http://a#b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"absolute target, no host":      {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"other scheme":                  {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"target without slash":          {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"asterisk for GET":              {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"control byte in target":        {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"raw UTF-8 in target":           {"GET /é HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"two spaces":                    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"tab in the request line":       {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"space behind the version":      {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
		"lower case version":            {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
		"HTTP/1.2":                      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400},
		"HTTP/0.9":                      {"GET /\r\n\r\n", 400},
		"HTTP/2.0 in text":              {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400},
		"leading empty line":            {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"leading space":                 {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"method with slash":             {"GE/T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"CONNECT without a tunnel":      {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 200},
		"CONNECT with content":          {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello", 400},
		"CONNECT with chunks":           {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400},
		"CONNECT to a path":             {"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"CONNECT without a port":        {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		"HTTP/1.0":                      {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426},
		"TE in HTTP/1.0":                {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"101 fields":                    {"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: 1\r\n", 101) + "\r\n", 431},
		"101 names in Connection":       {"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("x,", 101) + "\r\n\r\n", 431},
		"a large head":                  {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 61<<10) + "\r\n\r\n", 431},
		"chunk size with sign":          {post("Transfer-Encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n"), 400},
		"chunk size 0x":                 {post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"), 400},
		"chunk size with space":         {post("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"), 400},
		"chunk size overflowing":        {post("Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
		"chunk without size":            {post("Transfer-Encoding: chunked\r\n", "\r\nhello\r\n0\r\n\r\n"), 400},
		"chunk size with bare LF":       {post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"), 400},
		"chunk longer than its size":    {post("Transfer-Encoding: chunked\r\n", "5\r\nhello!\r\n0\r\n\r\n"), 400},
		"chunk data without CRLF":       {post("Transfer-Encoding: chunked\r\n", "5\r\nhello0\r\n\r\n"), 400},
		"bare LF behind chunk data":     {post("Transfer-Encoding: chunked\r\n", "5\r\nhello\n0\r\n\r\n"), 400},
		"NUL in a chunk extension":      {post("Transfer-Encoding: chunked\r\n", "5;a=\x00\r\nhello\r\n0\r\n\r\n"), 400},
		"CR in a chunk extension":       {post("Transfer-Encoding: chunked\r\n", "5;a=\rb\r\nhello\r\n0\r\n\r\n"), 400},
		"endless chunk extension":       {post("Transfer-Encoding: chunked\r\n", "5;"+strings.Repeat("a", 9000)+"\r\nhello\r\n0\r\n\r\n"), 400},
		"trailer Content-Length":        {post("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 5\r\n\r\n"), 400},
		"trailer Host":                  {post("Transfer-Encoding: chunked\r\n", "0\r\nHost: b\r\n\r\n"), 400},
		"trailer Authorization":         {post("Transfer-Encoding: chunked\r\n", "0\r\nauthorization: b\r\n\r\n"), 400},
		"trailer folded":                {post("Transfer-Encoding: chunked\r\n", "0\r\nX: 1\r\n Y: 2\r\n\r\n"), 400},
		"trailer without colon":         {post("Transfer-Encoding: chunked\r\n", "0\r\nX\r\n\r\n"), 400},
		"endless trailers":              {post("Transfer-Encoding: chunked\r\n", "0\r\n"+strings.Repeat("X: 1\r\n", 20000)), 400},
		"body cut off":                  {post("Transfer-Encoding: chunked\r\n", "5\r\nhel"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			text := tc.request
			if name != "body cut off" && name != "endless trailers" {
				text += next
			}
			answer, _ := exchange(t, Config{}, echo, text)
			if want := fmt.Sprintf("HTTP/1.1 %d ", tc.status); !strings.HasPrefix(answer, want) {
				t.Errorf("got %.120q; want %s", answer, want)
			}
			if strings.Contains(answer, "smuggled") || strings.Count(answer, "HTTP/1.1 ") != 1 {
				t.Errorf("what followed was served: %.200q", answer)
			}
			if !strings.Contains(answer, "connection: close\r\n") {
				t.Errorf("the end of the connection is not announced: %.120q", answer)
			}
		})
	}
}

func TestUnusualRequestsAreServed(t *testing.T) {
	for name, tc := range map[string]struct{ request, want string }{
		"absolute target replaces Host": {"GET http://b:80/x?y HTTP/1.1\nHost: a\n\n", `GET b:80 /x?y ""`},
		"absolute target without path":  {"GET http://b?y HTTP/1.1\nHost: a\n\n", `GET b /?y ""`},
		"asterisk":                      {"OPTIONS * HTTP/1.1\nHost: a\n\n", `OPTIONS a * ""`},
		"no space behind the colon":     {"GET / HTTP/1.1\nHost:a\n\n", `GET a / ""`},
		"empty value":                   {"GET / HTTP/1.1\nHost: a\nX:\n\n", `GET a / ""`},
		"obs-text in a value":           {"GET / HTTP/1.1\nHost: a\nX: \xe9\n\n", `GET a / ""`},
		"own method":                    {"BREW-2 / HTTP/1.1\nHost: a\n\n", `BREW-2 a / ""`},
		"chunks":                        {"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n\n5;x=\"y\"\nhello\n1\n!\n0\nX: 1\n\n", `POST a / "hello!"`},
		"CL with leading zeros":         {"POST / HTTP/1.1\nHost: a\nContent-Length: 005\n\nhello", `POST a / "hello"`},
		"IPv6 host":                     {"GET / HTTP/1.1\nHost: [::1]:80\n\n", `GET [::1]:80 / ""`},
		"percent is left alone":         {"GET /%2e%2E/%00?a=%zz HTTP/1.1\nHost: a\n\n", `GET a /%2e%2E/%00?a=%zz ""`},
	} {
		answer, _ := exchange(t, Config{}, echo, crlf(tc.request))
		if _, body, _ := strings.Cut(answer, "\r\n\r\n"); body != tc.want {
			t.Errorf("%s: got %.200q; want %s", name, answer, tc.want)
		}
	}
}
