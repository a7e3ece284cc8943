package ads

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/envoyjson"
	"github.com/lateenmesh/lateen/proxy/state/watch"
)

// File is a file with resources of one type, in the form of a discovery response:
// YAML, JSON, or the message's bytes where its name ends in ".pb".
type File struct {
	Path string
	// Directory is watched beside the file's own for what replaces the file; empty
	// is none.
	Directory string
}

// fileWire speaks for a file: it is the answer to each wish, and another one when it
// is replaced.
type fileWire struct {
	ctx   context.Context
	file  File
	url   string
	watch *watch.Watch
	*wishes
	last []byte // text that was read last; only receive looks at it
}

func openFile(ctx context.Context, c Config) (wire, error) {
	w, err := watch.New()
	if err != nil {
		return nil, err
	}
	if err = w.File(c.File.Path); err == nil && c.File.Directory != "" {
		err = w.Directory(c.File.Directory)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return &fileWire{ctx: ctx, file: c.File, url: c.Service, watch: w, wishes: newWishes()}, nil
}

func (w *fileWire) close() { w.watch.Close() }

func (w *fileWire) receive() (response, string, error) {
	for {
		asked := false
		select {
		case <-w.changed:
			asked = true
		case <-w.watch.Changed():
		case <-w.ctx.Done():
			return response{}, "", w.ctx.Err()
		}
		text, err := os.ReadFile(w.file.Path)
		if err == nil && !asked && bytes.Equal(text, w.last) {
			continue
		}
		w.last = text
		out := broken(w.url, err)
		if err == nil {
			if out, err = readResources(text, w.url, w.file.Path); err != nil {
				out = broken(w.url, fmt.Errorf("%s: %w", w.file.Path, err))
			}
		}
		return out, w.file.Path, nil
	}
}

// wishes are for wires that have no stream: what is asked for, as opposed to what
// is acknowledged.
type wishes struct {
	changed chan struct{}

	mu     sync.Mutex // guards what follows
	last   message
	anyone bool
}

func newWishes() *wishes { return &wishes{changed: make(chan struct{}, 1)} }

// send notes a message; changed gets a value when it asks for something else.
func (w *wishes) send(m message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	same := w.anyone && slices.Equal(w.last.names, m.names)
	w.last, w.anyone = m, true
	if !same {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	return nil
}

func (w *wishes) get() message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// broken is a response that cannot be used.
func broken(url string, err error) response {
	return response{typeURL: url, update: Update{Type: url, Broken: err}}
}

// readResources reads a discovery response from a file's text.
func readResources(text []byte, url, path string) (response, error) {
	if len(text) == 0 { // it is being written, see [watch.Watch]
		return response{}, errors.New("is empty: replace it in one step, by a rename")
	}
	m := &discovery.DiscoveryResponse{}
	if strings.EqualFold(filepath.Ext(path), ".pb") {
		if err := proto.Unmarshal(text, m); err != nil {
			return response{}, err
		}
	} else if err := envoyjson.Unmarshal(text, m); err != nil {
		return response{}, err
	}
	for i, r := range m.GetResources() {
		if t := r.GetTypeUrl(); t != url && t != wrapper {
			return response{}, fmt.Errorf("resources[%d]: is a %s, want a %s", i, t, url)
		}
	}
	m.TypeUrl = url
	out := stateOfTheWorld(m)
	return out, out.update.Broken
}
