package cluster

import "sync"

// streams are the byte streams to each host, kept where they are to end with its
// health.
type streams struct {
	mu   sync.Mutex
	open map[*State]map[*func()]struct{} // guarded by mu
}

// Follow notes a byte stream to a host: end is called when the host is taken out,
// where the cluster wants that. The result is called when the stream is over.
func (c *Cluster) Follow(h *Host, end func()) (over func()) {
	s := c.streams
	if s == nil {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*State]map[*func()]struct{}{}
	}
	if s.open[h.State] == nil {
		s.open[h.State] = map[*func()]struct{}{}
	}
	s.open[h.State][&end] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open[h.State], &end)
		if len(s.open[h.State]) == 0 {
			delete(s.open, h.State)
		}
	}
}

// cut ends the byte streams to a host.
func (c *Cluster) cut(h *Host) {
	if c.streams == nil {
		return
	}
	c.streams.mu.Lock()
	var all []func()
	for end := range c.streams.open[h.State] {
		all = append(all, *end)
	}
	c.streams.mu.Unlock()
	for _, end := range all {
		end()
	}
}
