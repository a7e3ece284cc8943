package state

import (
	"errors"
	"fmt"
	"slices"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/lateenmesh/lateen/proxy/state/ads"
	"github.com/lateenmesh/lateen/proxy/state/credential"
)

// local reports whether a secret is not asked of the control plane.
func (s *State) local(name string) bool {
	if r := s.bodies[name]; r != nil && r.static {
		return true
	}
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
		s.secrets.Set(name, m)
	}
}

func (s *State) updateSecrets(u ads.Update) error {
	var failed []error
	for _, r := range u.Set {
		m := &tlsv3.Secret{}
		if err := r.Body.UnmarshalTo(m); err != nil {
			failed = append(failed, fmt.Errorf("secret %q: %w", r.Name, err))
			continue
		}
		failed = append(failed, s.setSecret(m.GetName(), newRaw(r), m))
	}
	for _, name := range u.Removed {
		s.secrets.Remove(name)
		delete(s.bodies, name)
		s.absent[name] = true
	}
	s.warmAll()
	return errors.Join(failed...)
}

// setSecret takes a secret; what uses it shows it from the next handshake on.
func (s *State) setSecret(name string, r *raw, m *tlsv3.Secret) error {
	material, err := credential.FromSecret(m)
	if err != nil {
		return fmt.Errorf("secret %q: %w", name, err)
	}
	s.secrets.Set(name, material)
	r.updated = time.Now()
	r.body = nil // keys are not kept for dumps
	s.bodies[name] = r
	delete(s.absent, name)
	return nil
}

// have reports whether nothing is waited for any more: each secret is there, or
// the control plane has said that it does not have it. A filter chain whose
// secret does not exist refuses handshakes; it does not hold up its neighbours.
func (s *State) have(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !s.absent[name] && !s.secrets.Has([]string{name})
	})
}
