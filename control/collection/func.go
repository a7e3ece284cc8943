package collection

// Func is a memoized pure function from a key to a value. It may read tables
// and other functions, and nothing else that changes.
type Func[K comparable, V any] struct {
	engine  *Engine
	compute func(K) V
	equal   func(a, b V) bool
	made    map[K]*result[V]
}

type result[V any] struct {
	cell  cell
	value V
}

// NewFunc makes a function. A new value that is equal to the old one is not a
// change: the old one is kept, and what depends on it is not computed again.
func NewFunc[K comparable, V any](e *Engine, equal func(a, b V) bool, compute func(K) V) *Func[K, V] {
	return &Func[K, V]{engine: e, compute: compute, equal: equal, made: map[K]*result[V]{}}
}

// Get is the function's value for a key.
func (f *Func[K, V]) Get(key K) V {
	r, ok := f.made[key]
	if !ok {
		r = &result[V]{}
		r.cell.compute = func() bool {
			v := f.compute(key)
			if r.cell.verified > 0 && f.equal(v, r.value) {
				return false
			}
			r.value = v
			return true
		}
		f.made[key] = r
	}
	f.engine.read(&r.cell)
	return r.value
}

// Forget drops what was made for keys that nothing reads any more and that
// keep declines.
func (f *Func[K, V]) Forget(keep func(K) bool) {
	for key, r := range f.made {
		if len(r.cell.above) > 0 || keep(key) {
			continue
		}
		for below := range r.cell.below {
			delete(below.above, &r.cell)
		}
		delete(f.made, key)
	}
}
