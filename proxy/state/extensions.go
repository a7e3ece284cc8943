package state

import (
	"errors"
	"fmt"
	"slices"
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
		if err := s.configure(ref, nil); err != nil {
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
		err = s.configure(name, config)
	}
	if err != nil {
		return errors.Join(err, s.fallBack(name))
	}
	s.extensions[name] = r
	delete(s.lacking, name)
	return nil
}

// configure compiles a filter's configuration, nil for that there is none, for those
// managers that have such a filter, and only when all can serve it puts it in force.
// What is about to be replaced may go on with the one that it has.
func (s *State) configure(name ads.Ref, config *anypb.Any) error {
	return s.change(func(m *compile.Manager) bool { return m.Discovers(name) }, func(m *compile.Manager) (func(), error) {
		put, err := m.Configure(map[ads.Ref]*anypb.Any{name: config})
		if err != nil && s.leaving(m) {
			return func() {}, nil
		}
		return put, err
	})
}

// leaving reports whether there is a listener that waits to replace a manager's.
func (s *State) leaving(m *compile.Manager) bool {
	for _, e := range s.listeners {
		if e.pending != nil && e.active != nil && slices.Contains(e.active.Managers, m) {
			return true
		}
	}
	return false
}

// configureKnown gives a new manager's filters the configurations that are there, as
// far as they go together. For others the filters wait: whoever changes a listener and
// its filters tells one of them first.
func (s *State) configureKnown(m *compile.Manager) error {
	known := map[ads.Ref]*anypb.Any{}
	for _, name := range m.Extensions() {
		r := s.extensions[name]
		if r == nil && !s.lacking[name] {
			continue
		}
		told := &corev3.TypedExtensionConfig{}
		if r != nil {
			if err := r.body.UnmarshalTo(told); err != nil {
				return err
			}
		}
		known[name] = told.GetTypedConfig()
	}
	if len(known) == 0 {
		return nil
	}
	if put, err := m.Configure(known); err == nil {
		put()
		return nil
	}
	for _, name := range m.Extensions() {
		config, there := known[name]
		if !there {
			continue
		}
		put, err := m.Configure(map[ads.Ref]*anypb.Any{name: config})
		if err != nil {
			s.config.Log.Warn("a filter waits: the configuration that is there does not fit", "filter", name.Name, "error", err)
			continue
		}
		put()
	}
	return nil
}

// fallBack lets filters that wait for their first configuration do what they are to
// do without.
func (s *State) fallBack(name ads.Ref) error {
	return s.change(func(m *compile.Manager) bool { return m.Unsettled(name) }, func(m *compile.Manager) (func(), error) {
		return m.Configure(map[ads.Ref]*anypb.Any{name: nil})
	})
}

// fallBackLater lets the filters of a listener do what they are to do without their
// configuration when they have waited long enough for it.
func (s *State) fallBackLater(e *listenerEntry) {
	waits := e.pending
	if waits == nil {
		return
	}
	for _, f := range waits.Fallbacks() {
		s.later(f.After, func() error {
			if e.pending != waits {
				return nil
			}
			if err := s.fallBack(f.Filter); err != nil {
				return fmt.Errorf("without filter configuration %q: %w", f.Filter.Name, err)
			}
			return nil
		})
	}
}

// later does something when a time has passed, unless the proxy stops before. Before
// [State.Run] there is no later.
func (s *State) later(d time.Duration, do func() error) {
	ctx := s.background
	if ctx == nil || d == 0 {
		return
	}
	s.running.Go(func() {
		passed := time.NewTimer(d)
		defer passed.Stop()
		select {
		case <-ctx.Done():
			return
		case <-passed.C:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := errors.Join(do(), s.warmListeners()); err != nil {
			s.config.Log.Error("not in force", "error", err)
		}
		s.settle()
	})
}
