package proxy

import (
	"context"
	"fmt"

	"github.com/lateenmesh/lateen/proxy/state/watch"
)

// watchDisk reads the layers of the runtime that are directories and watches over the
// links to them, one of which is replaced when a layer changes. There is nothing to
// watch, and nil, where there is no such layer.
func (p *Proxy) watchDisk() (*watch.Watch, error) {
	disks := p.config.Bootstrap.Disks
	if len(disks) == 0 {
		return nil, nil
	}
	w, err := watch.New()
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		if err := w.File(d.Root); err != nil {
			w.Close()
			return nil, fmt.Errorf("runtime layer %q: %w", d.Layer, err)
		}
	}
	p.readDisk()
	return w, nil
}

// readDisk gives layers what their files say. One that cannot be read says nothing.
func (p *Proxy) readDisk() {
	for _, d := range p.config.Bootstrap.Disks {
		values, err := d.Settings()
		if err != nil {
			p.config.Log.Warn("runtime layer left out", "layer", d.Layer, "error", err)
			values = nil
		}
		p.runtime.Replace(d.Layer, values)
	}
}

// followDisk reads the layers again whenever a link may have been replaced, until ctx
// or the watch ends.
func (p *Proxy) followDisk(ctx context.Context, w *watch.Watch) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-w.Changed():
			if !open {
				return nil
			}
			p.readDisk()
		}
	}
}
