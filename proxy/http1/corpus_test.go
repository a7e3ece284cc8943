package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateenmesh/lateen/internal/memnet"
	"github.com/lateenmesh/lateen/proxy/stream"
)

// The corpus of smuggling attempts: families that have been published against
// other proxies and servers, each with its variants, and every control byte in
// every place of a message. Some are requests, most are not. What counts is that
// nobody behind the proxy may read anything else than the proxy did.

// attempt is one message and what comes behind it on the connection.
type attempt struct{ family, text string }

const followUp = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

func corpus() []attempt {
	var all []attempt
	add := func(family, text string) { all = append(all, attempt{family, text}) }
	post := func(family, fields, body string) {
		add(family, "POST /first HTTP/1.1\r\nHost: a\r\n"+fields+"\r\n"+body)
	}
	chunks := "0\r\n\r\n"
	// Transfer-Encoding that one side sees and the other does not.
	for _, te := range []string{
		"Transfer-Encoding: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding:chunked", "Transfer-Encoding:  chunked  ", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\t",
		"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked", "X: x\r\n Transfer-Encoding: chunked", "X: x\nTransfer-Encoding: chunked",
		"X: x\rTransfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: x chunked", "Transfer-Encoding: chunked x", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: 'chunked'", "Transfer-Encoding: chunked;", "Transfer-Encoding: chunked;a=b", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding: chunked, chunked",
		"Transfer-Encoding: identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: cow",
		"Transfer-Encoding:", "Transfer-Encoding: ", "Transfer_Encoding: chunked", "Transfer Encoding: chunked", "TransferEncoding: chunked", "Transfer-Encoding: chunk\x00ed", "Transfer-\x00Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding: \u00a0chunked",
		"Transfer-Encoding: c\u0068unked", "Transfer-Encoding: chun\u212aed", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "Connection: Content-Length", "TE: chunked", "Transfer-Encoding;: chunked", "Transfer-Encoding:: chunked",
	} {
		post("TE alone", te+"\r\n", chunks)
		post("CL.TE", "Content-Length: 5\r\n"+te+"\r\n", chunks)
		post("TE.CL", te+"\r\nContent-Length: 5\r\n", chunks)
	}
	// Content-Length that two parsers read differently.
	for _, cl := range []string{
		"0", "00", "5", "05", "+5", "-5", "5.0", "5e0", "0x5", "5,", ",5", "5,5", "5, 6", "5 5", "5;", "\"5\"", "five", "", " ", "5\t", "\t5", "5\v", "5\x00", "\u0665", "18446744073709551621", "4294967301",
		"99999999999999999999999", "5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "6\r\nContent-Length: 5", "5\r\ncontent-length:5", "5\nContent-Length: 0", "5\rContent-Length: 0", "5\r\n Content-Length: 0", "5_0", "5'",
	} {
		post("CL", "Content-Length: "+cl+"\r\n", "hello")
		add("CL on GET", "GET /first HTTP/1.1\r\nHost: a\r\nContent-Length: "+cl+"\r\n\r\nhello")
	}
	for _, name := range []string{"Content-Length ", "Content-Length\t", " Content-Length", "Content_Length", "Content-Length\x00", "Content\u2010Length", "Content-Length\x0b", "(Content-Length)"} {
		post("CL name", name+": 5\r\n", "hello")
	}
	// Chunk framing.
	for _, size := range []string{
		"5", "05", "0000000005", "5;", "5;a", "5;a=b", "5;a=\"b\"", "5 ;a", "5; a", "5 ", " 5", "5\t", "+5", "-5", "0x5", "5h", "5,", "V", "G", "5\x00", "5\v", "5.", "\u0665", "100000005", "FFFFFFFFFFFFFFFFF", "ffffffffffffffff5", "8000000000000005",
		"5\n", "5\r", "5\n0", "5;\n", "5;\r", "5;a\nb", "5;a\rb", "5;a=\"\r\n\"", "5;" + strings.Repeat("x", 5000), "",
	} {
		post("chunk size", "Transfer-Encoding: chunked\r\n", size+"\r\nhello\r\n0\r\n\r\n")
	}
	for _, body := range []string{
		"5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello\r\n\r\n0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\n\r\n",
		"5\r\nhello\r\n0\r\nX: 1\r\n\r\n", "5\r\nhello\r\n0\r\nX : 1\r\n\r\n", "5\r\nhello\r\n0\r\n X: 1\r\n\r\n", "5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
		"5\r\nhello\r\n0\r\nX\r\n\r\n", "5\r\nhello\r\n0\r\n: 1\r\n\r\n", "5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n", "5\r\nhello\r\n00\r\n\r\n", "5\r\nhello\r\n0;x\r\n\r\n", "5\r\nhello\r\n-0\r\n\r\n", "0\r\nGET /x HTTP/1.1\r\n\r\n",
	} {
		post("chunks", "Transfer-Encoding: chunked\r\n", body)
	}
	// Request lines and hosts.
	for _, line := range []string{
		"GET /first HTTP/1.1 ", "GET  /first HTTP/1.1", "GET /first  HTTP/1.1", "GET\t/first HTTP/1.1", "GET /first\tHTTP/1.1", " GET /first HTTP/1.1", "GET /first HTTP/1.1\r", "GET /first HTTP/1.1\n", "GET /first HTTP/1.10", "GET /first HTTP/1.01",
		"GET /first HTTP/01.1", "GET /first HTTP/1", "GET /first HTTP/1.1.1", "GET /first HTTP/2.0", "GET /first HTTP/3", "GET /first http/1.1", "GET /first HTTP/1,1", "GET /first", "GET", "", "/first", "GET /fi rst HTTP/1.1", "GET /fi\r\nrst HTTP/1.1",
		"GET /first HTTP/1.1\r\n\r\nGET /x HTTP/1.1", "G(T /first HTTP/1.1", "GET http://a/first HTTP/1.1", "GET http://b/first HTTP/1.1", "GET HTTP://a/first HTTP/1.1", "GET //b/first HTTP/1.1", "GET http://a:80:80/first HTTP/1.1", "GET http://x@a/first HTTP/1.1",
		"GET a/first HTTP/1.1", "GET http:/first HTTP/1.1", "GET ://a/first HTTP/1.1", "GET ?x HTTP/1.1", "GET #x HTTP/1.1", "GET /first#x HTTP/1.1", "GET \\first HTTP/1.1", "OPTIONS * HTTP/1.1", "POST * HTTP/1.1", "CONNECT a:80 HTTP/1.1", "CONNECT /first HTTP/1.1", "PRI * HTTP/2.0",
	} {
		add("request line", line+"\r\nHost: a\r\n\r\n")
	}
	for _, host := range []string{
		"Host: a\r\nHost: b", "Host: a\r\nHost: a", "Host: a\r\nhost: b", "Host: a, b", "Host: a b", "Host: a/b", "Host: a?b", "Host: a#b", "Host: x@a", "Host: a\tb", "Host : a", " Host: a", "Host: a\r\n Host: b", "Host: a\nHost: b", "Host: a\x00b", "Host:", "X: a", "Host: [::1", "Host: a:80",
	} {
		add("host", "GET /first HTTP/1.1\r\n"+host+"\r\n\r\n")
	}
	// Upgrades, whose bytes behind the head could be taken for another protocol.
	for _, fields := range []string{"Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", "Upgrade: websocket", "Connection: Upgrade", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", "Connection: close, X\r\nX: 1", "Expect: 100-continue\r\nContent-Length: 5", "Expect: 200-maybe\r\nContent-Length: 5"} {
		post("upgrade", fields+"\r\n", "hello")
	}
	// Each control byte in each place.
	for c := range 0x100 {
		if c >= ' ' && c != 0x7f && c != 0x85 && c != 0xa0 {
			continue
		}
		b := string([]byte{byte(c)})
		add("byte in the method", "GE"+b+"T /first HTTP/1.1\r\nHost: a\r\n\r\n")
		add("byte in the target", "GET /fi"+b+"rst HTTP/1.1\r\nHost: a\r\n\r\n")
		add("byte in the version", "GET /first HTTP/1"+b+".1\r\nHost: a\r\n\r\n")
		add("byte in a name", "GET /first HTTP/1.1\r\nHost: a\r\nX"+b+"Y: 1\r\n\r\n")
		add("byte in a value", "GET /first HTTP/1.1\r\nHost: a\r\nX: 1"+b+"2\r\n\r\n")
		post("byte before TE's value", "Transfer-Encoding:"+b+"chunked\r\n", chunks)
		post("byte in a chunk extension", "Transfer-Encoding: chunked\r\n", "5;a"+b+"b\r\nhello\r\n0\r\n\r\n")
	}
	return all
}

// forwarded is what the proxy sends upstream for a request, byte by byte, and what
// it read of it.
type forwarded struct {
	mu       sync.Mutex
	bytes    [][]byte
	paths    []string
	contents []string
}

// Handle sends the request upstream on a connection of its own, as the router
// does, and keeps what went over it.
func (f *forwarded) handle(req *stream.Request) (*stream.Response, error) {
	near, far := memnet.Pipe(clientAddress, serverAddress)
	tap := &tapped{Conn: near}
	var upstream sync.WaitGroup
	var content string
	upstream.Go(func() {
		defer far.Close()
		r, err := http.ReadRequest(bufio.NewReader(far))
		if err != nil {
			content = "unreadable: " + err.Error()
			return
		}
		all, err := io.ReadAll(r.Body)
		if err != nil {
			content = "unreadable: " + err.Error()
			return
		}
		content = string(all)
		_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	client := NewClient(tap, Limits{})
	path := strings.Clone(req.Path)
	if req.Method == stream.Connect {
		path = strings.Clone(req.Authority)
	}
	resp, err := client.RoundTrip(req, time.Now().Add(5*time.Second))
	near.Close()
	upstream.Wait()
	req.Upload.Stop()
	if err != nil {
		return nil, stream.Refuse(502, "upstream", err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes, f.paths, f.contents = append(f.bytes, tap.written.Bytes()), append(f.paths, path), append(f.contents, content)
	return &stream.Response{Status: resp.Status, Body: stream.NewBytes([]byte("ok\r\n")), Length: 4}, nil
}

type tapped struct {
	net.Conn
	written bytes.Buffer
}

func (t *tapped) Write(p []byte) (int, error) {
	t.written.Write(p)
	return t.Conn.Write(p)
}

// Nothing is passed on that another parser reads as anything but the one request
// that we read, and a message that is refused takes the connection with it.
func TestNothingIsSmuggled(t *testing.T) {
	all := corpus()
	if len(all) < 200 {
		t.Fatalf("the corpus has %d attempts", len(all))
	}
	families, passed := map[string]int{}, 0
	for _, a := range all {
		families[a.family]++
		var up forwarded
		answer, _ := exchange(t, Config{}, up.handle, a.text+followUp)
		statuses := statusesOf(answer)
		passed += len(up.bytes)
		for i, sent := range up.bytes {
			r := bufio.NewReader(bytes.NewReader(sent))
			req, err := http.ReadRequest(r)
			if err != nil {
				t.Errorf("%s %q: sent %q, which another parser refuses: %v", a.family, a.text, sent, err)
				continue
			}
			content, err := io.ReadAll(req.Body)
			rest, _ := io.ReadAll(r)
			if err != nil || len(rest) > 0 || string(content) != up.contents[i] {
				t.Errorf("%s %q: sent %q, of which another parser leaves %q (%v)", a.family, a.text, sent, rest, err)
			}
			if req.RequestURI != up.paths[i] {
				t.Errorf("%s %q: read as %q, sent as %q", a.family, a.text, up.paths[i], req.RequestURI)
			}
		}
		// The follow-up may only be served when what came before it was.
		if slices.Contains(up.paths, "/smuggled") && (len(up.paths) != 2 || statuses[0] >= 400) {
			t.Errorf("%s %q: what follows was served: %v, statuses %v", a.family, a.text, up.paths, statuses)
		}
		if n := len(statuses); n > 0 && statuses[n-1] >= 400 && !strings.Contains(answer, "connection: close") {
			t.Errorf("%s %q: refused with %d, and the connection goes on", a.family, a.text, statuses[n-1])
		}
	}
	if passed == 0 || passed > len(all) {
		t.Errorf("%d messages were passed on", passed)
	}
	t.Logf("%d attempts in %d families, %d messages passed on", len(all), len(families), passed)
}

// statusesOf lists the statuses of the answers on a connection.
func statusesOf(answer string) []int {
	var all []int
	for line := range strings.Lines(answer) {
		var status int
		if n, _ := fmt.Sscanf(line, "HTTP/1.1 %d ", &status); n == 1 && status >= 200 {
			all = append(all, status)
		}
	}
	return all
}
