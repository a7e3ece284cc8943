package state

import (
	"fmt"
	"maps"
	"slices"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
	"github.com/lateenmesh/lateen/proxy/state/watch"
)

// local reports whether a secret is not asked of the control plane.
func (s *State) local(ref ads.Ref) bool {
	if r := s.bodies[ref]; r != nil && r.static {
		return true
	}
	return ref.Source == "" && s.agents(ref.Name)
}

// agents reports whether a secret is one that the agent keeps.
func (s *State) agents(name string) bool {
	return s.config.Secrets != nil && slices.Contains(own, name)
}

// takeOwn takes over the agent's secrets.
func (s *State) takeOwn() {
	if s.config.Secrets == nil {
		return
	}
	for _, name := range own {
		chain, key, roots, ok := s.config.Secrets.Secret(name)
		if !ok {
			continue
		}
		m, err := credential.FromPEM(chain, key, roots)
		if err != nil {
			s.config.Log.Error("the agent's secret is not usable, the one before stays", "secret", name, "error", err)
			continue
		}
		s.secrets.Set(ads.Ref{Name: name}, m)
	}
}

func (s *State) updateSecrets(u ads.Update) error {
	_, err := ads.Each(u, "secret", func(r ads.Resource, m *tlsv3.Secret) error {
		return s.setSecret(ads.Ref{Name: m.GetName(), Source: u.Source}, newRaw(r), m)
	})
	for _, name := range u.Removed {
		// A secret that is gone without who uses it stays.
		if ref := (ads.Ref{Name: name, Source: u.Source}); s.bodies[ref] == nil {
			s.absent[ref] = true
		}
	}
	s.warmAll()
	return err
}

// setSecret takes a secret; what uses it shows it from the next handshake on.
func (s *State) setSecret(name ads.Ref, r *raw, m *tlsv3.Secret) error {
	directories := credential.Directories(m)
	if r.static {
		directories = nil
	}
	s.watchFiles(name.Name, directories) // before they are read: what changes meanwhile is read again
	material, err := credential.FromSecret(m)
	if err != nil {
		return fmt.Errorf("secret %q: %w", name.Name, err)
	}
	s.secrets.Set(name, material)
	r.updated = time.Now()
	delete(s.files, name)
	if directories != nil {
		s.files[name] = m
	}
	r.body = nil // keys are not kept for dumps
	s.bodies[name] = r
	delete(s.absent, name)
	return nil
}

// have reports whether nothing is waited for any more: each secret is there, or
// the control plane has said that it does not have it. A filter chain whose
// secret does not exist refuses handshakes; it does not hold up its neighbours.
func (s *State) have(names []ads.Ref) bool {
	return !slices.ContainsFunc(names, func(name ads.Ref) bool {
		return !s.absent[name] && !s.secrets.Has([]ads.Ref{name})
	})
}

// watchFiles looks at the directories of a secret's files. One that was looked at once
// is looked at for ever.
func (s *State) watchFiles(name string, directories []string) {
	if s.watch == nil && len(directories) > 0 {
		w, err := watch.New()
		if err != nil {
			s.config.Log.Error("files that secrets name are not read again", "error", err)
			return
		}
		s.watch = w
		s.running.Go(func() { s.followFiles(w) })
	}
	for _, dir := range directories {
		if err := s.watch.Directory(dir); err != nil {
			s.config.Log.Error("files of a secret are not read again", "secret", name, "error", err)
		}
	}
}

// forgetSecrets drops what is known of secrets that nobody refers to any more; wanted
// is sorted.
func (s *State) forgetSecrets(wanted []ads.Ref) {
	maps.DeleteFunc(s.bodies, func(ref ads.Ref, r *raw) bool {
		if r.static || among(wanted, ref) {
			return false
		}
		s.secrets.Remove(ref)
		delete(s.files, ref)
		return true
	})
	maps.DeleteFunc(s.absent, func(ref ads.Ref, _ bool) bool { return !among(wanted, ref) })
}

func (s *State) followFiles(w *watch.Watch) {
	for range w.Changed() {
		s.mu.Lock()
		for ref, m := range s.files {
			material, err := credential.FromSecret(m)
			if err != nil {
				s.config.Log.Warn("files of a secret are not usable, what was read before stays", "secret", ref.Name, "error", err)
				continue
			}
			s.secrets.Set(ref, material)
		}
		s.mu.Unlock()
	}
}
