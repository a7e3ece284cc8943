package ads

import (
	"math/rand/v2"
	"time"
)

// backoff gives growing pauses: each is drawn from the upper half of a bound
// that doubles, so that proxies which lost one control plane together do not
// come back together.
type backoff struct {
	first, most time.Duration
	bound       time.Duration
}

func (b *backoff) next() time.Duration {
	switch {
	case b.bound == 0:
		b.bound = b.first
	case b.bound < b.most:
		b.bound = min(2*b.bound, b.most)
	}
	return b.bound/2 + rand.N(b.bound/2+1)
}

func (b *backoff) reset() { b.bound = 0 }
