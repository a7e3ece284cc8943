package collection

// Keys makes a collection of the keys of in alone.
func Keys[V any](in *Collection[V]) *Collection[struct{}] {
	return Derive(in, in.name+"/keys", Same[struct{}], func(*Ctx, string, V) (struct{}, bool) { return struct{}{}, true })
}

// Union joins collections into one. Of rows with equal keys the one of the
// first collection is taken.
func Union[V any](g *Graph, name string, of ...*Collection[V]) *Collection[V] {
	for _, c := range of {
		c.readable(name)
	}
	out := add(g, name, of[0].equal)
	out.settling = func() {
		touched := map[string]struct{}{}
		for _, c := range of {
			for _, ch := range c.changes {
				touched[ch.Key] = struct{}{}
			}
		}
		for _, k := range sortedKeys(touched) {
			var now *row[V]
			for _, c := range of {
				if v, ok := c.Get(k); ok {
					now = &row[V]{v: v, ok: true}
					break
				}
			}
			out.put(k, now)
		}
	}
	return out
}

// Rekey gives every row another key; key must give different rows different
// ones.
func Rekey[V any](in *Collection[V], name string, key func(key string, v V) string) *Collection[V] {
	in.readable(name)
	out := add(in.graph, name, in.equal)
	out.settling = func() {
		now := map[string]*row[V]{}
		for _, ch := range in.changes {
			if ch.Had {
				if k := key(ch.Key, ch.Old); now[k] == nil {
					now[k] = nil
				}
			}
			if ch.Has {
				now[key(ch.Key, ch.New)] = &row[V]{v: ch.New, ok: true}
			}
		}
		for _, k := range sortedKeys(now) {
			out.put(k, now[k])
		}
	}
	return out
}

// Prefix puts prefix before every key.
func Prefix[V any](in *Collection[V], name, prefix string) *Collection[V] {
	return Rekey(in, name, func(key string, _ V) string { return prefix + key })
}
