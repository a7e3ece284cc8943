package stream

import "math/rand/v2"

// Chance draws: true so many times in a million.
func Chance(perMillion uint32) bool {
	return perMillion >= 1_000_000 || perMillion > 0 && rand.Uint32N(1_000_000) < perMillion
}
