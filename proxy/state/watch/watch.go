// Package watch tells when files may have been replaced.
package watch

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Watch looks at directories. A file counts as replaced when a name in its
// directory comes into being or points elsewhere, which is how files change in one
// step: by a rename, as editors and Kubernetes' volumes do it. What is written into a
// file that is there is not told, since it may be half there; a file that is made where
// there was none is told at once, when it may be empty yet.
type Watch struct {
	notify  *fsnotify.Watcher
	changed chan struct{}
}

// New starts a watch that looks at nothing yet.
func New() (*Watch, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &Watch{n, make(chan struct{}, 1)}
	go w.run()
	return w, nil
}

// Changed gets a value after something may have been replaced, and is closed when
// the watch has ended.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Directory adds a directory.
func (w *Watch) Directory(path string) error {
	if err := w.notify.Add(path); err != nil && !errors.Is(err, fsnotify.ErrClosed) {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	return nil
}

// File adds the directory in which a file is.
func (w *Watch) File(path string) error { return w.Directory(filepath.Dir(path)) }

func (w *Watch) run() {
	defer close(w.changed)
	for {
		select {
		case e, open := <-w.notify.Events:
			if !open {
				return
			}
			if !e.Has(fsnotify.Create) {
				continue
			}
		case _, open := <-w.notify.Errors:
			if !open {
				return
			} // else events were lost: whoever listens looks again
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() { _ = w.notify.Close() } // it only fails when it is closed already
