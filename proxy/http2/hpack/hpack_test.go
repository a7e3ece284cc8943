package hpack

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	oracle "golang.org/x/net/http2/hpack"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// decode reads a whole section.
func decode(d *Decoder, block []byte) ([]Field, error) {
	var fields []Field
	var text []byte
	for {
		f, rest, texts, ok, err := d.Next(block, text, len(fields) == 0)
		if err != nil || !ok {
			return fields, err
		}
		fields, block, text = append(fields, f), rest, texts
	}
}

func show(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// The sections of RFC 7541 appendix C.3 to C.6, which share tables.
func TestExamplesOfTheStandard(t *testing.T) {
	requests := []string{
		":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
		":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
		":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n",
	}
	responses := []string{
		":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
		":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
		":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\ncontent-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
	}
	for name, tc := range map[string]struct {
		size   uint32
		blocks []string
		want   []string
	}{
		"C.3 requests":          {4096, []string{"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865", "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"}, requests},
		"C.4 requests, Huffman": {4096, []string{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"}, requests},
		"C.5 responses": {256, []string{
			"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
			"4803333037c1c0bf",
			"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
		}, responses},
		"C.6 responses, Huffman": {256, []string{
			"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
			"4883640effc1c0bf",
			"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
		}, responses},
	} {
		d := NewDecoder(tc.size)
		for i, text := range tc.blocks {
			block, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			fields, err := decode(d, block)
			if got := show(fields); err != nil || got != tc.want[i] {
				t.Errorf("%s %d: got %v\n%swant\n%s", name, i+1, err, got, tc.want[i])
			}
		}
	}
}

// words are what random sections are made of.
func word(r *rand.Rand) string {
	if r.IntN(3) > 0 {
		return []string{"accept", "x-a", "content-type", "application/grpc", ":path", "/", "user-agent", "curl/8", "x-long-" + strings.Repeat("y", r.IntN(600))}[r.IntN(9)]
	}
	p := make([]byte, r.IntN(20))
	for i := range p {
		p[i] = byte(r.IntN(256))
	}
	return string(p)
}

// What another implementation encodes is decoded, through changes of the
// table's size.
func TestDecoderAgainstAnotherEncoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var block bytes.Buffer
	theirs, ours := oracle.NewEncoder(&block), NewDecoder(DefaultTableSize)
	for range 2000 {
		block.Reset()
		if r.IntN(10) == 0 {
			theirs.SetMaxDynamicTableSize(uint32(r.IntN(DefaultTableSize)))
		}
		var want []Field
		for range 1 + r.IntN(20) {
			f := Field{Field: stream.Field{Name: strings.ToLower(word(r)), Value: word(r)}}
			want = append(want, f)
			if err := theirs.WriteField(oracle.HeaderField{Name: f.Name, Value: f.Value, Sensitive: r.IntN(5) == 0}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := decode(ours, block.Bytes())
		if err != nil || show(got) != show(want) {
			t.Fatalf("got %v\n%q\nwant\n%q", err, show(got), show(want))
		}
	}
}

// What we encode is decoded by another implementation.
func TestEncoderAgainstAnotherDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var got []Field
	theirs := oracle.NewDecoder(DefaultTableSize, func(f oracle.HeaderField) {
		got = append(got, Field{Field: stream.Field{Name: f.Name, Value: f.Value}})
	})
	ours := NewEncoder()
	for range 2000 {
		if r.IntN(10) == 0 {
			size := uint32(r.IntN(2 * DefaultTableSize))
			ours.Resize(size)
			theirs.SetAllowedMaxDynamicTableSize(size)
		}
		got = nil
		var want []Field
		block := ours.Begin(nil)
		for range 1 + r.IntN(20) {
			f := Field{Field: stream.Field{Name: strings.ToLower(word(r)), Value: word(r)}}
			want = append(want, f)
			block = ours.Field(block, f.Name, f.Value)
		}
		if _, err := theirs.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Close(); err != nil || show(got) != show(want) {
			t.Fatalf("got %v\n%q\nwant\n%q", err, show(got), show(want))
		}
	}
}

// Fields that come again are sent as an index from the third time on; names in
// capitals are the same names.
func TestRepeatedFieldsBecomeIndices(t *testing.T) {
	e := NewEncoder()
	var sizes []int
	for _, name := range []string{"x-forwarded-proto", "x-forwarded-proto", "x-forwarded-proto", "x-forwarded-proto"} {
		sizes = append(sizes, len(e.Field(nil, name, "https")))
	}
	if !slices.Equal(sizes, []int{25, 25, 1, 1}) {
		t.Errorf("sizes %v", sizes)
	}
	if got := e.Field(nil, "Authorization", "Bearer x"); got[0] != 0x1f {
		t.Errorf("a secret is sent as %x: want a field that is never indexed", got[0])
	}
	if got := e.Field(nil, "X-Mixed", "v"); !bytes.Contains(got, []byte("x-mixed")) {
		t.Errorf("got %q", got)
	}
}

// What a table holds does not change when the memory of the section that brought
// it is used again, empty strings or not.
func TestTablesOwnTheirStrings(t *testing.T) {
	for _, f := range []stream.Field{{Name: "x-name", Value: "value"}, {Name: "x-name"}, {Name: ":path", Value: "/p"}} {
		name, value := []byte(f.Name), []byte(f.Value)
		e, d := NewEncoder(), NewDecoder(DefaultTableSize)
		var text []byte
		for i := range 4 {
			block := e.Field(nil, view(name), view(value))
			got, _, texts, _, err := d.Next(block, text[:0], true)
			if err != nil || got.Field != f {
				t.Errorf("%d: got %+v, %v; want %v", i, got, err, f)
			}
			for _, p := range [][]byte{texts[:cap(texts)], name, value} {
				for i := range p {
					p[i] = '#'
				}
			}
			text, name, value = texts, []byte(f.Name), []byte(f.Value)
		}
	}
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Every way in which a block can be wrong is an error, never a field.
func TestBrokenBlocks(t *testing.T) {
	for name, tc := range map[string]struct {
		block string
		want  error
	}{
		"index 0":                    {"80", errIndex},
		"index behind the tables":    {"be", errIndex},
		"name behind the tables":     {"7e0161", errIndex},
		"integer without an end":     {"ff", errTruncated},
		"integer that overflows":     {"ffffffffffff0f", errInteger},
		"string longer than block":   {"400561", errTruncated},
		"no value":                   {"400161", errTruncated},
		"Huffman padding of zeros":   {"4081ff8180", errHuffman},
		"Huffman padding too long":   {"408161ffff", errHuffman},
		"end of string in a string":  {"4084ffffffff0161", errHuffman},
		"table larger than allowed":  {"3fe21f", errResize},
		"table resized behind field": {"823f0020", errResize},
	} {
		block, err := hex.DecodeString(tc.block)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(NewDecoder(DefaultTableSize), block); err == nil {
			t.Errorf("%s: decoded as %q; want %v", name, show(got), tc.want)
		}
	}
}

// RFC 9113 section 8.2.1: names are lower case, values have no CR, LF or NUL and
// no white space at their ends. An entry of the table stays what it was.
func TestInvalidFieldsAreTold(t *testing.T) {
	for _, f := range []stream.Field{{Name: "X-A", Value: "v"}, {Name: "x a", Value: "v"}, {Name: "x", Value: "a\r\nb"}, {Name: "x", Value: "a\x00"}, {Name: "x", Value: " a"}, {Name: "x", Value: "a\t"}, {Name: "", Value: "a"}, {Name: ":", Value: "a"}} {
		var block bytes.Buffer
		theirs := oracle.NewEncoder(&block)
		for range 2 {
			_ = theirs.WriteField(oracle.HeaderField{Name: f.Name, Value: f.Value})
		}
		got, err := decode(NewDecoder(DefaultTableSize), block.Bytes())
		if err != nil || len(got) != 2 || got[0].Valid || got[1].Valid {
			t.Errorf("%q: got %+v, %v", f, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "3fe11f824001610162be", "4083ff"} {
		seed, _ := hex.DecodeString(text)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		var want []Field
		theirs := oracle.NewDecoder(DefaultTableSize, func(h oracle.HeaderField) {
			want = append(want, Field{Field: stream.Field{Name: h.Name, Value: h.Value}})
		})
		_, theirErr := theirs.Write(block)
		if theirErr == nil {
			theirErr = theirs.Close()
		}
		got, err := decode(NewDecoder(DefaultTableSize), block)
		// We refuse longer integers, and a resize behind a resize is fine.
		if err == nil && theirErr == nil && show(got) != show(want) {
			t.Fatalf("got\n%q\nwant\n%q", show(got), show(want))
		}
		if err == nil && theirErr != nil {
			t.Fatalf("decoded %q, which is refused elsewhere: %v", show(got), theirErr)
		}
	})
}

var request = []stream.Field{
	{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/helloworld.Greeter/SayHello"}, {Name: ":authority", Value: "greeter.default.svc.cluster.local:50051"},
	{Name: "content-type", Value: "application/grpc"}, {Name: "user-agent", Value: "grpc-go/1.80.0"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "1S"},
	{Name: "x-forwarded-proto", Value: "http"}, {Name: "x-request-id", Value: "0c1a3a3a-9e2a-4d5d-8f8e-4f1b6f6c2f11"},
}

func BenchmarkEncode(b *testing.B) {
	e := NewEncoder()
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = e.Begin(out[:0])
		for _, f := range request {
			out = e.Field(out, f.Name, f.Value)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e, d := NewEncoder(), NewDecoder(DefaultTableSize)
	var text []byte
	section := func() []byte {
		out := e.Begin(nil)
		for _, f := range request {
			out = e.Field(out, f.Name, f.Value)
		}
		return out
	}
	run := func(block []byte) {
		first := true
		for text = text[:0]; ; first = false {
			var ok bool
			var err error
			if _, block, text, ok, err = d.Next(block, text, first); err != nil || !ok {
				return
			}
		}
	}
	run(section())
	run(section())
	block := section()
	b.ReportAllocs()
	for b.Loop() {
		run(block)
	}
}
