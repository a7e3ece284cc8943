// Package interop runs our proxy beside and against programs that we did not
// write: the same bootstrap on real Envoy, and a control plane of
// go-control-plane's.
package interop

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// The same bootstrap and the same requests: statuses, headers, what reached
// the upstream, and response flags agree with Envoy's.
func TestSameAsEnvoy(t *testing.T) {
	up := upstreams{v1: newBackend(t, "v1"), v2: newBackend(t, "v2"), services: newServices(t), proxied: newProxied(t)}
	theirs, ours := both(t, up.bootstrap)
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for _, a := range s.asks {
				want, got := theirs.ask(t, s.name, a), ours.ask(t, s.name, a)
				if s.random {
					want, got = answer{Status: want.Status}, answer{Status: got.Status}
				}
				diff := cmp.Diff(got, want)
				if a.deviates != "" {
					if diff == "" {
						t.Errorf("%s %s %q: the same as Envoy, though it is meant to deviate: %s", a.method, a.path, a.headers, a.deviates)
					}
					continue
				}
				if diff != "" {
					t.Errorf("%s %s %q (-ours +Envoy):\n%s", a.method, a.path, a.headers, diff)
				}
			}
		})
	}
}

// answer is what came back, with what differs by nature left out.
type answer struct {
	Proto   string
	Status  int
	Headers []string
	Body    string
	// Log is the access log's line for it: code, flags, details, cluster,
	// route, attempts.
	Log string
}

// ignoredDownstream are response headers whose values differ by run.
var ignoredDownstream = map[string]bool{"Date": true, "X-Envoy-Upstream-Service-Time": true, "Content-Length": true}

func (p *peer) ask(t *testing.T, host string, a ask) answer {
	t.Helper()
	conn := p.dial(t)
	defer conn.Close()
	if a.method == "" {
		a.method = "GET"
	}
	var text bytes.Buffer
	text.WriteString(a.preamble)
	if a.host != "" {
		host = strings.ReplaceAll(a.host, "PROXY", p.address)
	}
	if text.WriteString(a.method + " " + a.path); a.old {
		text.WriteString(" HTTP/1.0\r\n")
	} else {
		text.WriteString(" HTTP/1.1\r\nHost: " + host + "\r\n")
	}
	text.WriteString("X-Peer: " + p.name + "\r\n")
	chunked := false
	for _, h := range a.headers {
		text.WriteString(h + "\r\n")
		chunked = chunked || strings.Contains(h, "chunked")
	}
	if (a.body != "" || a.method == "POST") && !chunked {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(a.body))
	}
	text.WriteString("\r\n" + a.body)
	if _, err := conn.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: a.method})
	for err == nil && response.StatusCode == 100 {
		response, err = http.ReadResponse(reader, &http.Request{Method: a.method})
	}
	if err != nil {
		t.Fatalf("%s: %s %s: %v", p.name, a.method, a.path, err)
	}
	var content io.Reader = response.Body
	if a.method != "HEAD" {
		switch response.Header.Get("Content-Encoding") {
		case "gzip":
			content, err = gzip.NewReader(content)
		case "br":
			content = brotli.NewReader(content)
		case "zstd":
			content, err = zstd.NewReader(content)
		}
		if err != nil {
			t.Fatalf("%s: %s %s: %v", p.name, a.method, a.path, err)
		}
	}
	body, err := io.ReadAll(content)
	if err != nil {
		body = []byte("(cut off)") // what came before is the network's affair
	}
	out := answer{Proto: response.Proto, Status: response.StatusCode, Body: remaining.ReplaceAllStringFunc(strings.ReplaceAll(string(body), p.address, "PROXY"), roundUp), Log: sortFlags(p.log.next(t))}
	for range a.lines - 1 {
		out.Log += "\n" + sortFlags(p.log.next(t))
	}
	if a.old {
		response.Header.Del("Connection") // which goes without saying
	}
	for _, name := range slices.Sorted(maps.Keys(response.Header)) {
		if ignoredDownstream[name] {
			out.Headers = append(out.Headers, name)
			continue
		}
		for _, v := range response.Header[name] {
			out.Headers = append(out.Headers, name+": "+madeUp.ReplaceAllString(strings.ReplaceAll(v, p.address, "PROXY"), `"MADE UP"`))
		}
	}
	return out
}

// madeUp is the value of a cookie that a proxy makes.
var madeUp = regexp.MustCompile(`"[0-9a-f]{16}"`)

// remaining is the time that an upstream is told, in seconds and milliseconds: less
// with each retry.
var remaining = regexp.MustCompile(`Timeout-Ms: \d+\d\d\d"`)

// roundUp gives what is told in whole seconds.
func roundUp(told string) string {
	name, digits, _ := strings.Cut(strings.TrimSuffix(told, `"`), ": ")
	ms, _ := strconv.Atoi(digits)
	return fmt.Sprintf("%s: %d s\"", name, (ms+999)/1000)
}

// sortFlags puts the flags of a log line, its second word, in order: Envoy
// writes them in the order in which they were set.
func sortFlags(line string) string {
	words := strings.Split(line, " ")
	if len(words) > 1 {
		flags := strings.Split(words[1], ",")
		slices.Sort(flags)
		words[1] = strings.Join(flags, ",")
	}
	return strings.Join(words, " ")
}
