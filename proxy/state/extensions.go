package state

import (
	"errors"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/compile"
)

func (s *State) updateExtensions(u ads.Update) error {
	_, err := ads.Each(u, "filter configuration", func(r ads.Resource, m *corev3.TypedExtensionConfig) error {
		if err := s.setExtension(ads.Ref{Name: m.GetName(), Source: u.Source}, newRaw(r), m); err != nil {
			return fmt.Errorf("filter configuration %q: %w", m.GetName(), err)
		}
		return nil
	})
	failed := []error{err}
	for _, name := range u.Removed {
		ref := ads.Ref{Name: name, Source: u.Source}
		if err := s.configure(ref, nil, anyManager); err != nil {
			failed = append(failed, fmt.Errorf("without filter configuration %q: %w", name, err))
			continue
		}
		delete(s.extensions, ref)
		s.lacking[ref] = true
	}
	return errors.Join(append(failed, s.warmListeners())...)
}

// setExtension gives the filters of a name their configuration.
func (s *State) setExtension(name ads.Ref, r *raw, m *corev3.TypedExtensionConfig) error {
	if old := s.extensions[name]; same(old, r) {
		old.version = r.version
		return nil
	}
	config, err := compile.Extension(m)
	if err == nil {
		err = s.configure(name, config, anyManager)
	}
	if err != nil {
		return errors.Join(err, s.fallBack(name))
	}
	s.extensions[name] = r
	delete(s.lacking, name)
	return nil
}

func anyManager(*compile.Manager) bool { return true }

// configure compiles a filter's configuration, nil for that there is none, for those
// of the managers that have such a filter, and only when all can serve it puts it in
// force.
func (s *State) configure(name ads.Ref, config *anypb.Any, of func(*compile.Manager) bool) error {
	return s.change(func(m *compile.Manager) bool { return m.Discovers(name) && of(m) }, func(m *compile.Manager) (func(), error) {
		return m.Configure(name, config, s.knownRoutes)
	})
}

// configureKnown gives a new manager's filters the configuration that is there.
func (s *State) configureKnown(m *compile.Manager) error {
	for _, name := range m.Extensions() {
		r := s.extensions[name]
		if r == nil && !s.lacking[name] {
			continue
		}
		known := &corev3.TypedExtensionConfig{}
		if r != nil {
			if err := r.body.UnmarshalTo(known); err != nil {
				return err
			}
		}
		put, err := m.Configure(name, known.GetTypedConfig(), nothing)
		if err != nil {
			return fmt.Errorf("filter configuration %q: %w", name.Name, err)
		}
		put()
	}
	return nil
}

// fallBack lets filters that wait for their first configuration do what they are to
// do without.
func (s *State) fallBack(name ads.Ref) error {
	return s.configure(name, nil, func(m *compile.Manager) bool { return m.Unsettled(name) })
}

// fallBackLater lets the filters of a listener do what they are to do without their
// configuration when they have waited long enough for it.
func (s *State) fallBackLater(e *listenerEntry) {
	if s.background == nil || e.pending == nil {
		return
	}
	waits := e.pending
	for _, f := range waits.Fallbacks() {
		ctx := s.background
		s.running.Go(func() {
			late := time.NewTimer(f.After)
			defer late.Stop()
			select {
			case <-ctx.Done():
				return
			case <-late.C:
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.pending != waits {
				return
			}
			if err := errors.Join(s.fallBack(f.Filter), s.warmListeners()); err != nil {
				s.config.Log.Error("a filter's default configuration is not in force", "filter", f.Filter.Name, "error", err)
			}
			s.settle()
		})
	}
}
