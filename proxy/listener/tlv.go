package listener

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/pires/go-proxyproto"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// TLVState is the name under which a connection's state has the values of its
// header.
const TLVState = "envoy.network.proxy_protocol.tlv"

// Noted is where a value of a PROXY header is noted.
type Noted struct {
	// Namespace is that of the metadata; state has none.
	Namespace, Key string
	// Base64 notes it in that form, for values that are not text. Otherwise each byte
	// that is not UTF-8 becomes "!".
	Base64 bool
}

// note keeps the values of a header that somebody asks for. It refuses a header
// whose values overrun it, whether they are asked for or not.
func (p *ProxyProtocol) note(header *proxyproto.Header, facts *stream.Conn) error {
	values, err := header.TLVs()
	if err != nil {
		return err
	}
	var passed []proxyproto.TLV
	for _, v := range values {
		// A checksum is of the header that it came in.
		if p.Pass != nil && p.Pass(byte(v.Type)) && v.Type != proxyproto.PP2_TYPE_CRC32C {
			passed = append(passed, v)
		}
		to, wanted := p.Note[byte(v.Type)]
		switch {
		case !wanted:
		case p.InState:
			if facts.Fields[TLVState] == nil {
				facts.Fields = map[string]map[string]string{TLVState: {}}
			}
			facts.Fields[TLVState][to.Key] = to.text(v.Value) // the last one counts
		default:
			if _, set := facts.Metadata.Get(to.Namespace, to.Key); !set { // the first one counts
				facts.Metadata.Set(to.Namespace, to.Key, to.text(v.Value))
			}
		}
	}
	if fields := facts.Fields[TLVState]; fields != nil {
		facts.State = map[string]string{TLVState: stream.JSON(fields)}
	}
	raw, err := proxyproto.JoinTLVs(passed)
	facts.TLVs = string(raw)
	return err
}

func (n Noted) text(value []byte) string {
	if n.Base64 {
		return base64.StdEncoding.EncodeToString(value)
	}
	if utf8.Valid(value) {
		return string(value)
	}
	var out strings.Builder
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		if r == utf8.RuneError && size == 1 {
			out.WriteByte('!')
		} else {
			out.Write(value[:size])
		}
		value = value[size:]
	}
	return out.String()
}
