package stream

import "testing"

// Fields that others made can neither end a line nor frame the message.
func TestFit(t *testing.T) {
	for f, want := range map[Field]bool{
		{"x-user", "jason"}: true, {"x-user", ""}: true, {"x-user", "a\tb"}: true, {"x-user", "a\r\nb: c"}: false, {"x-user", "a\nb"}: false, {"x-user", "a\x00"}: false,
		{"", "a"}: false, {":path", "/"}: false, {"a b", "c"}: false, {"a\r\nb", "c"}: false,
		{"Content-Length", "1"}: false, {"transfer-encoding", "chunked"}: false, {"Host", "b"}: false,
	} {
		if got := f.Fit(); got != want {
			t.Errorf("%q: got %v", f, got)
		}
	}
}
