package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// releaseProgram unmaps the program's own read-only pages. At the start all of
// it is touched (the descriptors of every message that may come are registered),
// most of it never again: of some 20 MB, a few come back as they are used, from
// the page cache.
func releaseProgram() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil // no /proc: stay as large as we are
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(maps)) {
		start, size, ok := readOnly(line, program)
		if !ok {
			continue
		}
		const dontNeed = 4 // MADV_DONTNEED: of a file's clean pages, only the mapping goes
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, start, size, dontNeed); errno != 0 {
			return fmt.Errorf("release the program's pages: %w", errno)
		}
	}
	return nil
}

// readOnly gives the range of a line of /proc/self/maps if it maps program and
// cannot be written to.
func readOnly(line, program string) (start, size uintptr, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[5] != program || strings.Contains(f[1], "w") {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	return uintptr(a), uintptr(b - a), err1 == nil && err2 == nil && b > a
}
