package cluster

import (
	"sync/atomic"
)

// Codes counts responses by their status. It is made for few of them.
type Codes struct{ list atomic.Pointer[[]*code] }

type code struct {
	status int
	n      atomic.Int64
}

// Count counts a response.
func (c *Codes) Count(status int) {
	for {
		old := c.list.Load()
		var have []*code
		if old != nil {
			have = *old
		}
		for _, each := range have {
			if each.status == status {
				each.n.Add(1)
				return
			}
		}
		next := append(have[:len(have):len(have)], &code{status: status})
		c.list.CompareAndSwap(old, &next)
	}
}

// Each calls f with each status that has come.
func (c *Codes) Each(f func(status int, n int64)) {
	if list := c.list.Load(); list != nil {
		for _, each := range *list {
			f(each.status, each.n.Load())
		}
	}
}
