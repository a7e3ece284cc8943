package stream

// ContentLength reads a Content-Length: digits and nothing else, no sign, no
// list, no overflow.
func ContentLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// ValidHost reports whether s may be an authority: nothing in it can be read as
// the beginning of another part of a URL, as user information or as a list.
func ValidHost(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '/' || s[i] == '?' || s[i] == '#' || s[i] == '@' || s[i] == ',' {
			return false
		}
	}
	return true
}

// ValidTarget reports whether every byte of a request target may be in one.
func ValidTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// OneWord reports whether s stays one word in a request's first line: there is no space
// in it, and nothing that ends a line.
func OneWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// tokenByte are the bytes of a token (RFC 9110 section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// ValidToken reports whether s may be a method or a field's name.
func ValidToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// ValidValue reports whether s may be a field's value: nothing in it ends a line.
func ValidValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// forbiddenTrailers may not stand behind the content: they would change how the
// message is framed, routed or who it is from (RFC 9110 section 6.5.1).
var forbiddenTrailers = []string{
	"content-length", "transfer-encoding", "host", "authorization", "connection", "te", "upgrade", "trailer", "content-encoding", "cookie", "set-cookie",
}

// ValidTrailer reports whether a field with that name may stand behind the
// content.
func ValidTrailer(name string) bool {
	for _, forbidden := range forbiddenTrailers {
		if EqualName(name, forbidden) {
			return false
		}
	}
	return true
}
