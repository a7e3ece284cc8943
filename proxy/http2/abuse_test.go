package http2

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	oracle "golang.org/x/net/http2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

func ok(*stream.Request) (*stream.Response, error) { return &stream.Response{Status: 200}, nil }

// never answers until the request is given up.
func never(req *stream.Request) (*stream.Response, error) {
	given := make(chan struct{})
	if req.Waiting.On(interrupter(func() { close(given) })) {
		<-given
	}
	return nil, &stream.Refusal{}
}

// Each attack ends its connection with ENHANCE_YOUR_CALM, after a bounded number
// of frames.
func TestFloodsEndTheConnection(t *testing.T) {
	for name, attack := range map[string]func(*raw, uint32) error{
		"rapid reset": func(r *raw, i uint32) error {
			r.headers(2*i+1, true, get...)
			return r.framer.WriteRSTStream(2*i+1, oracle.ErrCodeCancel)
		},
		// A client makes us reset its streams: "MadeYouReset".
		"made you reset": func(r *raw, i uint32) error {
			r.headers(2*i+1, true, get...)
			return r.framer.WriteRawFrame(oracle.FrameWindowUpdate, 0, 2*i+1, []byte{0, 0, 0, 0})
		},
		"malformed requests": func(r *raw, i uint32) error {
			r.headers(2*i+1, true, with(get, "connection", "close")...)
			return nil
		},
		"empty DATA": func(r *raw, i uint32) error {
			if i == 0 {
				r.headers(1, false, post...)
			}
			return r.framer.WriteData(1, false, nil)
		},
		"padding alone": func(r *raw, i uint32) error {
			if i == 0 {
				r.headers(1, false, post...)
			}
			return r.framer.WriteDataPadded(1, false, nil, make([]byte, 100))
		},
		"settings": func(r *raw, _ uint32) error { return r.framer.WriteSettings() },
		"priority": func(r *raw, i uint32) error {
			return r.framer.WritePriority(2*i+1, oracle.PriorityParam{StreamDep: 0})
		},
		"windows":       func(r *raw, _ uint32) error { return r.framer.WriteWindowUpdate(0, 1) },
		"unknown types": func(r *raw, _ uint32) error { return r.framer.WriteRawFrame(0x42, 0, 0, nil) },
		"pings":         func(r *raw, _ uint32) error { return r.framer.WritePing(false, [8]byte{}) },
		"refused streams": func(r *raw, i uint32) error {
			r.headers(2*i+1, true, get...)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, _, _ := serve(t, Config{MaxStreams: 10}, never)
				r := newRaw(t, conn)
				r.settle()
				calm := make(chan bool, 1)
				go func() {
					for {
						switch f := r.next().(type) {
						case nil:
							calm <- false
							return
						case *oracle.GoAwayFrame:
							calm <- f.ErrCode == oracle.ErrCodeEnhanceYourCalm
							_, _ = io.Copy(io.Discard, conn)
							return
						}
					}
				}()
				for i := range uint32(20_000) {
					if err := attack(r, i); err != nil {
						break
					}
					synctest.Wait()
					if len(calm) > 0 {
						break
					}
				}
				conn.Close()
				if !<-calm {
					t.Error("the connection was not ended for it")
				}
			})
		})
	}
}

// Replies to control frames that nobody reads do not pile up.
func TestUnreadRepliesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, ok)
		r := newRaw(t, conn)
		for range 20_000 {
			if r.framer.WritePing(false, [8]byte{}) != nil {
				return
			}
		}
		time.Sleep(2 * lingerTime) // mesh time
		if _, err := conn.Write(make([]byte, 100_000)); err == nil {
			t.Error("the connection goes on")
		}
	})
}

// A header section that never ends is cut off, however small its frames are, and
// one that grows when it is decoded is refused without being kept.
func TestEndlessHeaderSections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, ok)
		r := newRaw(t, conn)
		r.settle()
		r.must(r.framer.WriteHeaders(oracle.HeadersFrameParam{StreamID: 1, BlockFragment: r.encode(get...)}))
		go func() {
			for range 1000 {
				if r.framer.WriteContinuation(1, false, nil) != nil {
					return
				}
			}
		}()
		if _, code, _ := r.ends(); code != oracle.ErrCodeEnhanceYourCalm {
			t.Errorf("got %v", code)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, ok)
		r := newRaw(t, conn)
		block := r.encode(with(get, "x-bomb", strings.Repeat("b", 3000))...)
		r.must(r.framer.WriteHeaders(oracle.HeadersFrameParam{StreamID: 1, BlockFragment: append(block, []byte(strings.Repeat("\xbe", 10_000))...), EndStream: true, EndHeaders: true}))
		f, isHead := r.next().(*oracle.MetaHeadersFrame)
		if !isHead || f.PseudoValue("status") != "431" {
			t.Errorf("got %v; want status 431", f)
		}
	})
	// One of too many fields, with a path that stands in it as it is: each is refused
	// in the same way.
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{}, ok)
		r := newRaw(t, conn)
		fields := with(get[:6])
		for i := range 120 {
			fields = append(fields, fmt.Sprintf("x-%d", i), "some value")
		}
		for id := uint32(1); id < 9; id += 2 {
			block := r.encode(fields...)
			path := append([]byte{0x14, 4}, "/abc"...) // :path, never indexed
			r.must(r.framer.WriteHeaders(oracle.HeadersFrameParam{StreamID: id, BlockFragment: append(path, block...), EndStream: true, EndHeaders: true}))
			if f, isHead := r.next().(*oracle.MetaHeadersFrame); !isHead || f.PseudoValue("status") != "431" {
				t.Errorf("stream %d: got %v; want status 431", id, f)
			}
			_ = r.next() // the body
		}
	})
	// A section that stalls.
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{HeadTimeout: 8 * time.Second}, ok)
		r := newRaw(t, conn)
		r.settle()
		start := time.Now()
		r.must(r.framer.WriteHeaders(oracle.HeadersFrameParam{StreamID: 1, BlockFragment: r.encode(get...)}))
		_, code, _ := r.ends()
		if took := time.Since(start); code != oracle.ErrCodeEnhanceYourCalm || took < 8*time.Second || took > 10*time.Second {
			t.Errorf("got %v after %v", code, took)
		}
	})
}

// A client that opens no window does not hold a response for ever, and what is
// kept for it is bounded.
func TestWindowsThatStayShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, seen, _ := serve(t, Config{StreamIdleTimeout: 8 * time.Second}, func(*stream.Request) (*stream.Response, error) {
			return &stream.Response{Status: 200, Body: stream.NewBytes(make([]byte, 1<<20)), Length: 1 << 20}, nil
		})
		r := newRaw(t, conn)
		r.must(r.framer.WriteSettings(oracle.Setting{ID: oracle.SettingInitialWindowSize, Val: 0}))
		r.headers(1, true, get...)
		if code, _, _ := r.ends(); code != oracle.ErrCodeCancel {
			t.Errorf("got %v; want the stream cancelled", code)
		}
		synctest.Wait()
		if infos := seen.all(); len(infos) != 1 || infos[0].Flags&stream.StreamIdleTimeout == 0 {
			t.Errorf("noted %+v", infos)
		}
	})
}

// RFC 9113 section 6.9.1: "A receiver MUST NOT" be sent more than its window, and
// we hold our peer to ours.
func TestPeersKeepToTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _, _ := serve(t, Config{StreamWindow: 100_000, ConnWindow: 200_000}, never)
		r := newRaw(t, conn)
		r.settle()
		r.headers(1, false, post...)
		go func() {
			for range 10 {
				if r.framer.WriteData(1, false, make([]byte, 16<<10)) != nil {
					return
				}
			}
		}()
		if code, all, closed := r.ends(); code != oracle.ErrCodeFlowControl {
			t.Errorf("got %v, %v, closed %v", code, all, closed)
		}
	})
}

// Requests that mean two things to two readers are refused: section 8.1.1, and
// what would be smuggled into an HTTP/1.1 message.
func TestMalformedRequestsAreReset(t *testing.T) {
	replace := func(name, value string) []string {
		fields := append([]string(nil), get...)
		for i := 0; i < len(fields); i += 2 {
			if fields[i] == name {
				fields[i+1] = value
			}
		}
		return fields
	}
	for name, fields := range map[string][]string{
		"CR LF in a value":            with(get, "x", "a\r\nhost: b"),
		"LF in a name":                with(get, "x\ny", "a"),
		"colon in a name":             with(get, "x:y", "a"),
		"capitals":                    with(get, "X-A", "a"),
		"space around a value":        with(get, "x", " a"),
		"NUL":                         with(get, "x", "a\x00"),
		"transfer-encoding":           with(get, "transfer-encoding", "chunked"),
		"connection":                  with(get, "connection", "x"),
		"upgrade":                     with(get, "upgrade", "h2c"),
		"two lengths":                 with(get, "content-length", "0", "content-length", "1"),
		"a length that is none":       with(get, "content-length", "+1"),
		"a length without content":    with(get, "content-length", "5"),
		"te":                          with(get, "te", "chunked"),
		"pseudo behind fields":        {":method", "GET", ":scheme", "http", "x", "y", ":path", "/"},
		"pseudo twice":                with(get, ":path", "/b"),
		"no path":                     {":method", "GET", ":scheme", "http", ":authority", "a"},
		"empty path":                  replace(":path", ""),
		"path without slash":          replace(":path", "x"),
		"star with GET":               replace(":path", "*"),
		"space in the path":           replace(":path", "/a b"),
		"CR LF in the path":           replace(":path", "/ HTTP/1.1\r\nhost: b"),
		"LF in the method":            replace(":method", "GET / HTTP/1.1\nx"),
		"no ASCII in the method":      replace(":method", "GET\u00a0"),
		"space in the method":         replace(":method", "GET /x"),
		"user info in the authority":  replace(":authority", "a@b"),
		"slash in the authority":      replace(":authority", "a/b"),
		"an odd scheme":               replace(":scheme", "file"),
		"CR LF in the scheme":         replace(":scheme", "http\r\n"),
		"unknown pseudo":              append([]string{":x", "y"}, get...),
		"status in a request":         append([]string{":status", "200"}, get...),
		"protocol without CONNECT":    append([]string{":protocol", "websocket"}, get...),
		"a plain CONNECT with a path": replace(":method", "CONNECT"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, seen, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
					t.Errorf("handled as %s %s", req.Method, req.Path)
					return ok(req)
				})
				r := newRaw(t, conn)
				r.headers(1, true, fields...)
				if code, _, _ := r.ends(); code != oracle.ErrCodeProtocol {
					t.Errorf("got %v", code)
				}
				synctest.Wait()
				if infos := seen.all(); len(infos) != 1 || infos[0].Flags != stream.DownstreamProtocol {
					t.Errorf("noted %+v", infos)
				}
			})
		})
	}
}

// Fields that may not stand behind the content do not.
func TestTrailers(t *testing.T) {
	for name, end := range map[string]bool{"x-fine": true, "content-length": false, "host": false, "authorization": false, ":status": false} {
		synctest.Test(t, func(t *testing.T) {
			conn, _, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
				if _, err := readAll(req.Body); err != nil {
					return nil, err
				}
				return ok(req)
			})
			r := newRaw(t, conn)
			r.headers(1, false, post...)
			r.must(r.framer.WriteData(1, false, []byte("x")))
			synctest.Wait()
			r.headers(1, true, name, "1")
			_, isHead := r.next().(*oracle.MetaHeadersFrame)
			if isHead != end {
				t.Errorf("%s: answered %v", name, isHead)
			}
		})
	}
}

// FuzzServer lets a server read anything: it must neither panic nor hang.
func FuzzServer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x01\x04\x00\x00\x00\x01\x83\x84\x86\x00\x00\x05\x00\x01\x00\x00\x00\x01hello"))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01"))
	server := NewServer(Config{}, handlerFunc(echo), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.Serve(far, &stream.Conn{Start: time.Now()}, nil)
		}()
		go func() {
			_, _ = io.WriteString(near, preface)
			_, _ = near.Write(data)
			_ = near.CloseWrite()
		}()
		_, _ = io.Copy(io.Discard, near)
		near.Close()
		<-done
	})
}

// FuzzClient lets a client read anything.
func FuzzClient(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x02\x00\x01\x00\x00\x00\x01hi"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := pipe()
		c := NewClient(near, Config{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Run()
		}()
		go func() {
			_, _ = far.Write(data)
			_ = far.CloseWrite()
			_, _ = io.Copy(io.Discard, far)
		}()
		if c.Reserve() {
			e := c.Exchange()
			if resp, err := e.RoundTrip(&stream.Request{Method: "GET", Authority: "a", Path: "/", Info: &stream.Info{}}, time.Time{}); err == nil {
				_, _ = readAll(resp.Body)
			}
			e.Finish()
		}
		far.Close()
		<-done
	})
}

// Responses that nobody reads do not pile up, even those without content, which no
// window holds back: when as many streams wait as there may be, further ones are
// refused, and that has an end.
func TestUnreadResponsesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int64
		conn, _, _ := serve(t, Config{MaxStreams: 10}, func(*stream.Request) (*stream.Response, error) {
			served.Add(1)
			resp := &stream.Response{Status: 204}
			resp.Header.Add("authorization", strings.Repeat("x", 1<<10)) // that is never compressed
			return resp, nil
		})
		r := newRaw(t, conn)
		r.settle()
		for i := range uint32(2000) {
			r.headers(2*i+1, true, get...)
			if synctest.Wait(); served.Load() <= int64(i) {
				break
			}
		}
		if n := served.Load(); n < outLimit>>10 || n > 2*outLimit>>10 {
			t.Errorf("%d responses of 1 KiB were made for a client that reads none", n)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		synctest.Wait()
		if n := served.Load(); n > 2*outLimit>>10 {
			t.Errorf("%d requests were served at last", n)
		}
	})
}

// Requests under way of a client that breaks the protocol are noted so, whether it
// breaks it on their stream or for the whole connection.
func TestBreachesAreNoted(t *testing.T) {
	for name, breach := range map[string]func(*raw){
		"connection": func(r *raw) { r.must(r.framer.WriteRawFrame(oracle.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 0})) },
		"stream":     func(r *raw) { r.must(r.framer.WriteRawFrame(oracle.FrameWindowUpdate, 0, 1, []byte{0, 0, 0, 0})) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, seen, _ := serve(t, Config{}, func(req *stream.Request) (*stream.Response, error) {
					_, _ = never(req)
					return nil, req.GivenUp()
				})
				r := newRaw(t, conn)
				r.headers(1, true, get...)
				synctest.Wait()
				breach(r)
				synctest.Wait()
				if infos := seen.all(); len(infos) != 1 || infos[0].Flags != stream.DownstreamProtocol || infos[0].Status != 0 || infos[0].Details != "codec_error" {
					t.Errorf("noted %+v", infos)
				}
			})
		})
	}
}
