package hpack

// codeLengths are the lengths in bits of the codes of the 256 byte values (RFC
// 7541 appendix B). The code is canonical: the codes follow from the lengths.
// The end-of-string symbol has 30 bits and is the last of them.
var codeLengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	longestCode = 30
	// shortBits is the width of the table that decodes most symbols in one step.
	shortBits = 9
)

// huffman is the code, laid out for decoding.
type huffman struct {
	// short maps the next shortBits bits to a symbol and its length; length 0
	// says that the code is longer.
	short [1 << shortBits]struct{ symbol, length uint8 }
	// Of the codes of one length, limit is the first code behind them, first the
	// first of them, left-aligned in longestCode bits; start is the place of their
	// first symbol in symbols.
	limit, first [longestCode + 1]uint32
	start        [longestCode + 1]int
	symbols      [256]uint8
}

var code = canonical()

func canonical() *huffman {
	h := &huffman{}
	next, at := uint32(0), 0
	for length := uint8(1); length <= longestCode; length++ {
		h.first[length], h.start[length] = next, at
		for symbol, l := range codeLengths {
			if l != length {
				continue
			}
			h.symbols[at] = uint8(symbol)
			if length <= shortBits {
				from := next >> (longestCode - shortBits)
				for i := range uint32(1) << (shortBits - length) {
					h.short[from+i].symbol, h.short[from+i].length = uint8(symbol), length
				}
			}
			next += 1 << (longestCode - length)
			at++
		}
		h.limit[length] = next
	}
	return h
}

// appendDecoded decodes p behind out (RFC 7541 section 5.2).
func appendDecoded(out, p []byte) ([]byte, error) {
	var bits uint64 // the next ones are the highest
	have := 0
	for {
		for have <= 56 && len(p) > 0 {
			bits |= uint64(p[0]) << (56 - have)
			have += 8
			p = p[1:]
		}
		if have == 0 {
			return out, nil
		}
		if s := code.short[bits>>(64-shortBits)]; s.length != 0 && int(s.length) <= have {
			out = append(out, s.symbol)
			bits <<= s.length
			have -= int(s.length)
			continue
		}
		symbol, length := longSymbol(uint32(bits >> (64 - longestCode)))
		if length == 0 || length > have {
			break
		}
		out = append(out, symbol)
		bits <<= length
		have -= length
	}
	// What is left has to be the beginning of the end-of-string code: ones, and
	// fewer than eight of them.
	if have > 7 || bits>>(64-have) != 1<<have-1 {
		return out, errHuffman
	}
	return out, nil
}

// longSymbol finds the symbol whose code begins the longestCode bits; length 0
// is the end-of-string symbol, which may not stand in a string.
func longSymbol(bits uint32) (symbol uint8, length int) {
	for length = 5; length <= longestCode; length++ {
		if bits < code.limit[length] {
			i := code.start[length] + int((bits-code.first[length])>>(longestCode-length))
			return code.symbols[i], length
		}
	}
	return 0, 0
}
