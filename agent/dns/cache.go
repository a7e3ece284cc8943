package dns

import (
	"sync"
	"time"
)

// maxCached bounds the names that are remembered.
const maxCached = 4096

// cache remembers what servers said for as long as they said that it holds.
type cache struct {
	mu    sync.Mutex
	names map[string]cached // guarded by mu
}

type cached struct {
	records
	until time.Time
}

// get gives what is remembered of a name, with the time that is left.
func (c *cache) get(name string) (records, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.names[name]
	found.ttl = time.Until(found.until)
	return found.records, ok && found.ttl > 0
}

func (c *cache) put(name string, r records) {
	if r.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil || len(c.names) >= maxCached {
		c.names = map[string]cached{}
	}
	c.names[name] = cached{r, time.Now().Add(r.ttl)}
}
