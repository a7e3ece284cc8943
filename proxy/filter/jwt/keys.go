package jwt

import (
	"fmt"
	"sync"
	"time"

	"github.com/lateenmesh/lateen/proxy/upcall"
)

// Keys are a provider's public keys: given in place, or fetched and kept for a
// while.
type Keys struct {
	// Caller and URL are where keys are fetched; nil when they are given.
	Caller *upcall.Caller
	URL    URL
	// Keep is how long fetched keys hold.
	Keep time.Duration

	mu       sync.Mutex
	current  *keySet   // guarded by mu
	fetched  time.Time // guarded by mu
	fetching *fetch    // guarded by mu; nil when nobody fetches
	failed   time.Time // guarded by mu: when a fetch last came to nothing
}

// URL of a key set.
type URL struct{ Scheme, Authority, Path string }

// fetch is one under way.
type fetch struct {
	done chan struct{}
	keys *keySet // set before done is closed
	err  error   // likewise
}

// retryAfter is how long a failed fetch is not repeated.
const retryAfter = time.Second

// Given makes keys of a key set in JSON.
func Given(text string) (*Keys, error) {
	set, err := parseKeys([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("the key set has no public key")
	}
	return &Keys{current: set}, nil
}

// get gives the keys, fetching them when they are missing or old. One request
// fetches, the others wait for it; while new keys fail to come the old ones
// serve.
func (k *Keys) get() (*keySet, error) {
	k.mu.Lock()
	now := time.Now()
	if k.Caller == nil || k.current != nil && now.Sub(k.fetched) < k.Keep {
		defer k.mu.Unlock()
		return k.current, nil
	}
	if !k.failed.IsZero() && now.Sub(k.failed) < retryAfter {
		defer k.mu.Unlock()
		if k.current == nil {
			return nil, errFetch
		}
		return k.current, nil
	}
	if f := k.fetching; f != nil {
		current := k.current
		k.mu.Unlock()
		if current != nil {
			return current, nil
		}
		<-f.done // bounded by the call's timeout
		return f.keys, f.err
	}
	f := &fetch{done: make(chan struct{})}
	k.fetching = f
	k.mu.Unlock()

	f.keys, f.err = k.fetch()
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(f.done)
	if k.fetching = nil; f.err != nil {
		k.failed = time.Now()
		if k.current != nil {
			f.keys, f.err = k.current, nil
		}
		return f.keys, f.err
	}
	k.current, k.fetched, k.failed = f.keys, time.Now(), time.Time{}
	return f.keys, nil
}

func (k *Keys) fetch() (*keySet, error) {
	reply, err := k.Caller.Do(nil, upcall.Call{Method: "GET", Scheme: k.URL.Scheme, Authority: k.URL.Authority, Path: k.URL.Path})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFetch, err)
	}
	if reply.Status != 200 {
		return nil, fmt.Errorf("%w: status %d", errFetch, reply.Status)
	}
	set, err := parseKeys(reply.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFetch, err)
	}
	return set, nil
}
