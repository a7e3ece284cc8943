package ads

import (
	"maps"
	"slices"
	"time"
)

// lives are the ends of resources that live only as long as the control plane says
// so again and again.
type lives struct {
	ends  map[string]map[string]time.Time // by type URL and name
	timer *time.Timer                     // for the first of them
}

func newLives() lives {
	l := lives{ends: map[string]map[string]time.Time{}, timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// note takes what a response that was accepted says.
func (l *lives) note(r response, now time.Time) {
	changed := false
	if r.update.Full { // a resource that is told bare has no name here
		named := map[string]bool{}
		for _, res := range r.update.Set {
			named[res.Name] = res.ttl > 0
		}
		maps.DeleteFunc(l.ends[r.typeURL], func(name string, _ time.Time) bool {
			changed = changed || !named[name]
			return !named[name]
		})
	}
	for _, list := range [][]Resource{r.update.Set, r.alive} {
		for _, res := range list {
			ends := l.ends[r.typeURL]
			_, had := ends[res.Name]
			switch {
			case res.ttl > 0 && ends == nil:
				l.ends[r.typeURL] = map[string]time.Time{res.Name: now.Add(res.ttl)}
			case res.ttl > 0:
				ends[res.Name] = now.Add(res.ttl)
			case had:
				delete(ends, res.Name)
			default:
				continue
			}
			changed = true
		}
	}
	for _, name := range r.update.Removed {
		delete(l.ends[r.typeURL], name)
	}
	if changed {
		l.arm(now)
	}
}

// forget lets the resources live that nobody wants any more.
func (l *lives) forget(typeURL string, names map[string]bool) {
	maps.DeleteFunc(l.ends[typeURL], func(name string, _ time.Time) bool { return names[name] })
}

// arm sets the timer for the first end.
func (l *lives) arm(now time.Time) {
	var first time.Time
	for _, ends := range l.ends {
		for _, end := range ends {
			if first.IsZero() || end.Before(first) {
				first = end
			}
		}
	}
	if first.IsZero() {
		l.timer.Stop()
		return
	}
	l.timer.Reset(max(0, first.Sub(now)))
}

// over takes out the resources of a type whose time has come.
func (l *lives) over(typeURL string, now time.Time) []string {
	var names []string
	for name, end := range l.ends[typeURL] {
		if !now.Before(end) {
			names = append(names, name)
			delete(l.ends[typeURL], name)
		}
	}
	slices.Sort(names)
	return names
}

// expire takes away what the control plane has not mentioned in time.
func (c *Client) expire() {
	now := time.Now()
	for _, url := range Types {
		names := c.lives.over(url, now)
		if len(names) == 0 {
			continue
		}
		c.proto.forget(url, names)
		c.config.Log.Info("resources have outlived their time", "type", url, "names", names)
		if err := c.config.Sink.Update(Update{Source: c.config.Source, Type: url, Removed: names}); err != nil {
			c.config.Log.Warn("resources that have outlived their time are not taken away", "type", url, "error", err)
		}
	}
	c.lives.arm(now)
}
