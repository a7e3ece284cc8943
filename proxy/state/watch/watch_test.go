package watch

import (
	"os"
	"path/filepath"
	"testing"
)

// A file is replaced by a rename, also of a link on its way; writing in place tells
// nothing.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "..data")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(file, "one")
	w, err := New()
	if err == nil {
		err = w.File(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	put(file, "in place")
	next := filepath.Join(t.TempDir(), "next")
	for name, replace := range map[string]func() error{
		"by a rename": func() error { put(next, "two"); return os.Rename(next, file) },
		"by a link":   func() error { return os.Symlink(t.TempDir(), link) },
	} {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if _, open := <-w.Changed(); !open {
			t.Error("no word of a file replaced", name)
		}
	}
	w.Close()
	for range w.Changed() {
		t.Error("told of what was written in place")
	}
	if w, err = New(); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Directory(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there is taken")
	}
}
