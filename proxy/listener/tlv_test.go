package listener

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// said is a connection on which everything has been said.
type said struct {
	net.Conn
	io.Reader
}

func (s said) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// signed is a header of version 2 for a TCP connection over IPv4, with what stands
// behind the addresses.
func signed(command byte, tail string) string {
	const sig, ends = "\r\n\r\n\x00\r\nQUIT\n", "\xc0\x00\x02\x07\xc6\x33\x64\x09\x10\xe1\x01\xbb"
	return string(binary.BigEndian.AppendUint16([]byte(sig+string(command)+"\x11"), uint16(len(ends)+len(tail)))) + ends + tail
}

func value(kind byte, text string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(text)))) + text
}

func only(kinds string) func(byte) bool {
	return func(kind byte) bool { return strings.IndexByte(kinds, kind) >= 0 }
}

// Values of a header are noted as the rules say, and kept for endpoints as far as
// they are passed on.
func TestHeaderValues(t *testing.T) {
	rules := map[byte]Noted{2: {Namespace: "own", Key: "host"}, 0xEA: {Namespace: "aws", Key: "vpc"}, 0xEB: {Namespace: "aws", Key: "raw", Base64: true}}
	all := value(2, "shop") + value(0xEA, "one") + value(0xEA, "two") + value(0xEB, "\xff\x00") + value(3, "sum!")
	for _, tc := range []struct {
		name, say string
		asked     ProxyProtocol
		meta      map[string]any // of the namespace aws
		state     string
		kept      string
	}{
		{"nobody asks", signed(0x21, all), ProxyProtocol{}, nil, "", ""},
		{"metadata", signed(0x21, all), ProxyProtocol{Note: rules}, map[string]any{"vpc": "one", "raw": "/wA="}, "", ""},
		{"state", signed(0x21, all), ProxyProtocol{Note: rules, InState: true}, nil, `{"host":"shop","raw":"/wA=","vpc":"two"}`, ""},
		{"not text", signed(0x21, value(0xEA, "a\xff\xfe<b>\xe2\x82cé")), ProxyProtocol{Note: rules, InState: true}, nil, `{"vpc":"a!!\u003cb\u003e!!cé"}`, ""},
		{"empty", signed(0x21, value(0xEA, "")), ProxyProtocol{Note: rules}, map[string]any{"vpc": ""}, "", ""},
		{"passed", signed(0x21, all), ProxyProtocol{Pass: only("\xea\x02")}, nil, "", value(2, "shop") + value(0xEA, "one") + value(0xEA, "two")},
		{"passed, without the checksum", signed(0x21, value(3, "sum!")+value(5, "id")), ProxyProtocol{Pass: func(byte) bool { return true }}, nil, "", value(5, "id")},
		{"of the balancer itself", signed(0x20, all), ProxyProtocol{Note: rules, Pass: only("\x02")}, nil, "", ""},
		{"version 1", "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\n", ProxyProtocol{Note: rules, Pass: only("\x02")}, nil, "", ""},
	} {
		facts := &stream.Conn{}
		conn, err := tc.asked.read(said{Reader: strings.NewReader(tc.say + "rest")}, facts, 0)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if rest, _ := io.ReadAll(conn); string(rest) != "rest" {
			t.Errorf("%s: what follows is %q", tc.name, rest)
		}
		for key, want := range tc.meta {
			if got, found := facts.Metadata.Get("aws", key); !found || got != want {
				t.Errorf("%s: %s is %v", tc.name, key, got)
			}
		}
		if got := facts.Metadata.Namespace("aws"); len(got) != len(tc.meta) || facts.State[TLVState] != tc.state || facts.TLVs != tc.kept {
			t.Errorf("%s: metadata %v, state %s, kept %q", tc.name, got, facts.State[TLVState], facts.TLVs)
		}
	}
}

// "The receiver MUST be able to skip it [the vector] entirely": values that overrun
// their header end the connection, whether anybody asks for them or not (PROXY
// protocol, section 2.2).
func TestHeaderValuesThatOverrun(t *testing.T) {
	for name, tail := range map[string]string{
		"longer than the header":     "\xea\x00\x05abc",
		"reaching into what follows": "\xea\x00\x07abc",
		"without a length":           value(0xEA, "abc") + "\xeb",
		"with half a length":         value(0xEA, "abc") + "\xeb\x00",
	} {
		if _, err := (&ProxyProtocol{}).read(said{Reader: strings.NewReader(signed(0x21, tail) + "rest")}, &stream.Conn{}, 0); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}

// Whatever a header says, nothing of it is taken for what follows, and what is kept
// is whole values.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		signed(0x21, value(2, "shop")+value(0xEA, "vpc")) + "rest", signed(0x20, ""), signed(0x21, "\xea\x00\x05abc") + "rest", "PROXY TCP4 192.0.2.7 198.51.100.9 4321 443\r\nrest", "PROXY UNKNOWN\r\n", "GET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		for _, inState := range []bool{false, true} {
			p := ProxyProtocol{Optional: true, InState: inState, Note: map[byte]Noted{2: {"own", "host", false}, 0xEA: {"own", "vpc", true}}, Pass: func(byte) bool { return true }}
			facts := &stream.Conn{}
			conn, err := p.read(said{Reader: bytes.NewReader(sent)}, facts, 0)
			if err != nil {
				continue
			}
			rest, err := io.ReadAll(conn)
			if err != nil || !bytes.HasSuffix(sent, rest) {
				t.Fatalf("behind %q comes %q, %v", sent, rest, err)
			}
			if _, err := proxyproto.SplitTLVs([]byte(facts.TLVs)); err != nil || len(facts.TLVs) > len(sent) {
				t.Fatalf("of %q is kept %q", sent, facts.TLVs)
			}
			if facts.Socket == nil && (facts.TLVs != "" || facts.State != nil || facts.Metadata.Namespaces() != nil) {
				t.Fatalf("%q says nothing of a client, and something is kept", sent)
			}
			if bytes.HasPrefix(sent, []byte(signed(0x21, "")[:12])) {
				if at := 16 + int(binary.BigEndian.Uint16(sent[14:])); !bytes.Equal(rest, sent[at:]) {
					t.Fatalf("a header of %d bytes, and behind it %q", at, rest)
				}
			}
		}
	})
}
