package listener

import "testing"

// The examples that JA3 and JA4 are described by.
func TestFingerprints(t *testing.T) {
	old := fingerprinted{version: 769, ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, extensions: []uint16{0, 10, 11}, groups: []uint16{23, 24, 25}, points: []uint16{0}}
	if got, want := old.ja3(), "ada70206e40642a3e4461f35503241d5"; got != want {
		t.Errorf("JA3 is %s; want %s", got, want)
	}
	browser := fingerprinted{
		version: 0x0303, named: true, alpn: []byte("h2"), versions: []uint16{0x0304, 0x0303},
		ciphers:    []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		signatures: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	if got, want := browser.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1"; got != want {
		t.Errorf("JA4 is %s; want %s", got, want)
	}
	nothing := fingerprintOf(nil)
	if got, want := nothing.ja4(), "t00i000000_000000000000_000000000000"; got != want {
		t.Errorf("JA4 of nothing is %s; want %s", got, want)
	}
}

// A hello is read as far as it goes, without the values that clients make up.
func TestFingerprintedHello(t *testing.T) {
	seen, _, ok := new(records).clientHello(hello("a.example.com", "h2", "x"))
	if !ok {
		t.Fatal("the hello was not read")
	}
	f := fingerprintOf(seen.hello)
	if !f.named || string(f.alpn) != "h2" || f.version != 0x0303 {
		t.Errorf("got %+v", f)
	}
	if !madeUp(0x0a0a) || !madeUp(0xfafa) || madeUp(0x0a1a) || madeUp(0x1301) {
		t.Error("made-up values are not told from others")
	}
	for cut := range seen.hello {
		fingerprintOf(seen.hello[:cut])
	}
}
