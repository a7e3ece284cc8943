package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/internal/accept"
)

const request = "GET /index.html HTTP/1.1\r\nHost: backend.example.com\r\nUser-Agent: hop/1\r\nAccept: */*\r\n" +
	"Accept-Language: en\r\nX-Request-Id: 5c2f1d3e-8f1f-4f6e-9d7a-0d8f3b1c2a10\r\nX-B3-Traceid: 80f198ee56343ba864fe8b2a57d3eff7\r\n" +
	"X-B3-Spanid: e457b5a2e4d86bd1\r\nX-B3-Sampled: 0\r\nCookie: session=jason\r\n\r\n"

var body = strings.Repeat("0123456789abcdef", 64)

var reply = []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: backend\r\nContent-Length: %d\r\n\r\n%s", len(body), body))

// serve lets each connection to an address of its own be handled in a goroutine.
func serve(handle func(net.Conn)) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	accept.Each(l, handle)
	return l, nil
}

// answer answers every request with 1 KB, at as little cost as it can.
func answer(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 16<<10)
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		for {
			end := bytes.Index(buf[:have], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			have = copy(buf, buf[end+4:have])
			if _, err := conn.Write(reply); err != nil {
				return
			}
		}
	}
}

// loader keeps connections to one contender over the whole run.
type loader struct {
	dial  func() (net.Conn, error)
	conns []net.Conn
	// anew opens a connection for each request.
	anew bool
}

func newLoader(address string, conns int, certs certificates, sc scenario) *loader {
	return &loader{anew: sc.handshake, conns: make([]net.Conn, conns), dial: func() (net.Conn, error) {
		if sc.tls {
			return tls.Dial("tcp", address, certs.client)
		}
		return net.Dial("tcp", address)
	}}
}

// run sends requests one after the other on every connection for the given
// time and returns how many were answered.
func (l *loader) run(d time.Duration) (int, error) {
	deadline := time.Now().Add(d)
	counts, errs := make([]int, len(l.conns)), make([]error, len(l.conns))
	var all sync.WaitGroup
	for i := range l.conns {
		all.Go(func() {
			for l.anew && time.Now().Before(deadline) {
				conn, err := l.dial()
				if err != nil {
					errs[i] = err
					return
				}
				_, errs[i] = exchange(conn, time.Time{})
				conn.Close()
				if counts[i]++; errs[i] != nil {
					return
				}
			}
			if l.anew {
				return
			}
			if l.conns[i] == nil {
				if l.conns[i], errs[i] = l.dial(); errs[i] != nil {
					return
				}
			}
			counts[i], errs[i] = exchange(l.conns[i], deadline)
		})
	}
	all.Wait()
	total := 0
	for i := range counts {
		if errs[i] != nil {
			return 0, errs[i]
		}
		total += counts[i]
	}
	return total, nil
}

// exchange makes requests until the deadline; one when that is zero.
func exchange(conn net.Conn, deadline time.Time) (int, error) {
	buf := make([]byte, 16<<10)
	n := 0
	for ; deadline.IsZero() && n == 0 || time.Now().Before(deadline); n++ {
		if _, err := conn.Write([]byte(request)); err != nil {
			return n, err
		}
		have := 0
		for {
			m, err := conn.Read(buf[have:])
			if err != nil {
				return n, err
			}
			have += m
			if end := bytes.Index(buf[:have], []byte("\r\n\r\n")); end >= 0 && have >= end+4+len(body) {
				break
			}
		}
		if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
			return n, fmt.Errorf("unexpected reply %.60q", buf[:have])
		}
	}
	return n, nil
}
