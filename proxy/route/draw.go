package route

import (
	"math/rand/v2"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// weight is what holds now.
func (w *Weighted) weight() uint64 { return uint64(w.Key.Number(float64(w.Weight))) }

// Draw picks one of the clusters by weight, nil when none has any: always the same one
// for a request.
func (f *Forward) Draw(req *stream.Request) *Weighted {
	if len(f.Clusters) == 1 {
		return &f.Clusters[0]
	}
	var total uint64
	for i := range f.Clusters {
		total += f.Clusters[i].weight()
	}
	if total == 0 {
		return nil
	}
	if req.Info.Lot == 0 {
		req.Info.Lot = 1 + rand.Uint64N(1<<63)
	}
	left := (req.Info.Lot - 1) % total
	for i := range f.Clusters {
		w := f.Clusters[i].weight()
		if left < w {
			return &f.Clusters[i]
		}
		left -= w
	}
	return nil
}
