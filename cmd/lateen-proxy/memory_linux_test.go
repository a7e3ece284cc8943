package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The program still works when its pages have been given back, and is smaller.
func TestReleaseProgram(t *testing.T) {
	before := fileRSS(t)
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileRSS(t); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
}

func TestReadOnlyMapping(t *testing.T) {
	for line, want := range map[string]uintptr{
		"00400000-00e6f000 r-xp 00000000 fe:00 1 /bin/p":  0xa6f000,
		"00e6f000-01bc6000 r--p 00a6f000 fe:00 1 /bin/p":  0xd57000,
		"01bc6000-01c58000 rw-p 017c6000 fe:00 1 /bin/p":  0,
		"7f0000000000-7f0000001000 r--p 0 fe:00 1 /lib/q": 0,
		"7f0000000000-7f0000001000 r--p 0 00:00 0":        0,
	} {
		if _, size, ok := readOnly(line, "/bin/p"); size != want || ok != (want > 0) {
			t.Errorf("%s: %x, %v; want %x", line, size, ok, want)
		}
	}
}

// fileRSS is how much of files is mapped and resident, in KiB.
func fileRSS(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "RssFile:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skip("no RssFile")
	return 0
}
