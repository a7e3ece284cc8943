// Package runtime holds settings that change while the proxy runs: what Envoy calls
// its runtime. A configuration names a key beside a value; the key's value in the
// runtime, when it has one, is in force instead.
//
// The values come in layers, each over the one before: from the bootstrap, from a
// control plane (RTDS), from the admin API. Whoever needs one holds its [Key], whose
// value costs one atomic load.
package runtime

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// A Key is a setting by its name. A nil key is one that nobody can set.
type Key struct{ value atomic.Pointer[value] }

// value is what a setting says, in each form that it can be read as.
type value struct {
	number          float64
	flag            bool
	perMillion      uint32
	isNumber, isBit bool
	isShare         bool
}

func (k *Key) load() *value {
	if k == nil {
		return nil
	}
	return k.value.Load()
}

// PerMillion is a share of a million; otherwise is what holds while the key has none.
func (k *Key) PerMillion(otherwise uint32) uint32 {
	if v := k.load(); v != nil && v.isShare {
		return v.perMillion
	}
	return otherwise
}

// Number is a number that is not negative.
func (k *Key) Number(otherwise float64) float64 {
	if v := k.load(); v != nil && v.isNumber && v.number >= 0 {
		return v.number
	}
	return otherwise
}

// Flag is true or false.
func (k *Key) Flag(otherwise bool) bool {
	if v := k.load(); v != nil && v.isBit {
		return v.flag
	}
	return otherwise
}

// Share is a share of requests.
type Share struct {
	PerMillion uint32
	Key        *Key // nil: PerMillion holds
}

// All is the share of whoever does not choose.
var All = Share{PerMillion: 1_000_000}

// Drawn draws: true for that share of the calls.
func (s Share) Drawn() bool { return stream.Chance(s.Key.PerMillion(s.PerMillion)) }

// Never reports whether no draw can be true, now or later.
func (s Share) Never() bool { return s.PerMillion == 0 && s.Key == nil }

// Number is a number that is not negative.
type Number struct {
	Value float64
	Key   *Key // nil: Value holds
}

// Now is what holds now.
func (n Number) Now() float64 { return n.Key.Number(n.Value) }

// Flag is a switch.
type Flag struct {
	On  bool
	Key *Key // nil: On holds
}

// Set reports whether the switch is on.
func (f Flag) Set() bool { return f.Key.Flag(f.On) }

// Layer is some settings, by key.
type Layer struct {
	Name   string
	Values map[string]string
	// Admin marks the layer that the admin API changes.
	Admin bool
}

// Runtime is all layers. A nil runtime has none and no keys.
type Runtime struct {
	mu     sync.Mutex // guards what follows
	layers []Layer
	keys   map[string]*Key
	loads  int
}

// New makes a runtime of its layers, the last one wins.
func New(layers []Layer) *Runtime {
	r := &Runtime{layers: slices.Clone(layers), keys: map[string]*Key{}}
	for i := range r.layers {
		r.layers[i].Values = maps.Clone(r.layers[i].Values)
	}
	r.loads = 1
	return r
}

// Key is the setting of a name; nil for the empty name.
func (r *Runtime) Key(name string) *Key {
	if r == nil || name == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys[name]
	if k == nil {
		k = &Key{}
		k.value.Store(r.find(name))
		r.keys[name] = k
	}
	return k
}

// find is what the layers say of a name; nil when they do not.
func (r *Runtime) find(name string) *value {
	for _, l := range slices.Backward(r.layers) {
		if text, ok := l.Values[name]; ok {
			return parse(text)
		}
	}
	return nil
}

// Replace gives a layer other values. It reports false when there is no such layer.
func (r *Runtime) Replace(layer string, values map[string]string) bool {
	return r.change(func(l *Layer) bool { return l.Name == layer && !l.Admin }, func(l *Layer) { l.Values = maps.Clone(values) })
}

// Modify changes the admin layer; an empty value takes a key out. It reports false
// when there is no such layer.
func (r *Runtime) Modify(values map[string]string) bool {
	return r.change(func(l *Layer) bool { return l.Admin }, func(l *Layer) {
		if l.Values == nil {
			l.Values = map[string]string{}
		}
		for key, text := range values {
			if text == "" {
				delete(l.Values, key)
			} else {
				l.Values[key] = text
			}
		}
	})
}

func (r *Runtime) change(which func(*Layer) bool, do func(*Layer)) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.layers {
		if which(&r.layers[i]) {
			do(&r.layers[i])
			r.loads++
			for name, k := range r.keys {
				k.value.Store(r.find(name))
			}
			return true
		}
	}
	return false
}

// Layers are the layers as they are, and how often they have been loaded.
func (r *Runtime) Layers() (layers []Layer, loads int) {
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	layers = slices.Clone(r.layers)
	for i := range layers {
		layers[i].Values = maps.Clone(layers[i].Values)
	}
	return layers, r.loads
}

// parts are how many parts of a million one of a denominator is.
var parts = map[string]uint64{"": 10_000, "HUNDRED": 10_000, "TEN_THOUSAND": 100, "MILLION": 1}

// fraction reads the text form of a fraction: "numerator: 3 denominator: MILLION".
func fraction(text string) (uint32, bool) {
	words := strings.Fields(strings.ReplaceAll(text, ":", " "))
	if len(words) == 0 || len(words)%2 != 0 {
		return 0, false
	}
	said := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		said[words[i]] = words[i+1]
	}
	n, err := strconv.ParseUint(said["numerator"], 10, 32)
	unit, known := parts[said["denominator"]]
	return uint32(min(n*unit, 1_000_000)), err == nil && known && len(said) == len(words)/2
}

// parse reads a value: a number, which as a share is a percentage; true or false; or
// the text form of a fraction.
func parse(text string) *value {
	v := &value{}
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		v.number, v.isNumber = n, true
		if n >= 0 {
			v.perMillion, v.isShare = uint32(min(n, 100)*10_000), true
		}
		return v
	}
	switch strings.ToLower(text) {
	case "true", "false":
		v.flag, v.isBit = strings.EqualFold(text, "true"), true
		return v
	}
	v.perMillion, v.isShare = fraction(text)
	return v
}
