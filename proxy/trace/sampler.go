package trace

import "encoding/binary"

// Sampler decides whether a trace is kept, by its ID and by what the caller has decided.
// It may be asked from any goroutine.
type Sampler func(id [16]byte, caller Decision) bool

// Decision is what the caller has decided, if it has.
type Decision struct{ Made, Sampled bool }

// Always keeps all traces, whatever the caller says.
func Always([16]byte, Decision) bool { return true }

// ByID keeps the traces whose ID falls below numerator in each denominator, which all
// who see the trace decide alike.
func ByID(numerator, denominator uint64) Sampler {
	return func(id [16]byte, _ Decision) bool {
		return binary.LittleEndian.Uint64(id[:])%denominator < numerator
	}
}

// ByCaller follows the caller, and asks another one about traces that begin here.
func ByCaller(first Sampler) Sampler {
	return func(id [16]byte, caller Decision) bool {
		if caller.Made {
			return caller.Sampled
		}
		return first(id, caller)
	}
}
